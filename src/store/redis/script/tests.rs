use super::*;

#[test]
fn durations_stay_within_what_redis_takes() {
    assert_eq!(millis(Duration::ZERO), 1);
    assert_eq!(millis(Duration::from_nanos(1)), 1);
    assert_eq!(millis(Duration::from_secs(30)), 30_000);
    assert_eq!(millis(Duration::MAX), 315_360_000_000);
}

#[test]
fn both_calls_carry_the_same_arguments() {
    let (keys, args) = (["lock", "value"], [b"token".as_slice(), b""]);
    let tail = |command: &Command| {
        let packed = command.packed();
        let at = packed.windows(9).position(|w| w == b"$1\r\n2\r\n$4").unwrap();
        packed[at..].to_vec()
    };
    let code = COMMIT.code(false);
    assert_eq!(tail(&code.cached(&keys, &args)), tail(&code.complete(&keys, &args)));
}
