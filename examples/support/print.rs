//! `println!` and its like, for programs whose reader may hang up: where the standard ones panic, as in
//! `axum | head -1`, these go on.

#[doc(hidden)]
#[macro_export]
macro_rules! print_line {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! print_error_text {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!($($text)*));
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! print_error_line {
    ($($text:tt)*) => {
        $crate::eprint!("{}\n", format_args!($($text)*))
    };
}

pub use {print_error_line as eprintln, print_error_text as eprint, print_line as println};
