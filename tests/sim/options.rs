//! What the command line says.

/// How many seeds are gone through where nothing is said.
const SEEDS: u64 = if cfg!(debug_assertions) { 140 } else { 2000 };

/// The most nodes of a cluster.
const MOST_NODES: usize = 500;

#[derive(Debug, Default, Clone)]
pub(crate) struct Options {
    pub(crate) seed: Option<u64>,
    seeds: Option<u64>,
    pub(crate) nodes: Option<usize>,
    pub(crate) trace: bool,
    pub(crate) planted: bool,
    pub(crate) redis: bool,
}

impl Options {
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut options, mut args) = (Self::default(), args);
        while let Some(flag) = args.next() {
            let mut number = |least: u64, most: u64| {
                let given = args.next().ok_or_else(|| format!("{flag} needs a number"))?;
                let number = given.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| format!("{flag} needs a number from {least} to {most}, not {given:?}"))
            };
            match flag.as_str() {
                "--seed" => options.seed = Some(number(0, u64::MAX)?),
                "--seeds" => options.seeds = Some(number(1, u64::MAX)?),
                "--nodes" => options.nodes = Some(number(3, MOST_NODES as u64)? as usize),
                "--trace" => options.trace = true,
                "--planted" => options.planted = true,
                "--redis" => options.redis = true,
                _ => {
                    return Err(format!(
                        "{flag:?} is none of --seed N, --seeds COUNT, --nodes N, --redis, --trace and --planted"
                    ));
                }
            }
        }
        Ok(options)
    }

    /// The stampedes to measure: nodes, and callers on each. None where one seed is looked at.
    pub(crate) fn stampedes(&self) -> Vec<(usize, u64)> {
        match self.nodes {
            _ if self.seed.is_some() && self.seeds.is_none() => Vec::new(),
            Some(nodes) => vec![(nodes, 1), (nodes, 100)],
            None if cfg!(debug_assertions) => vec![(10, 1), (10, 100)],
            None => vec![
                (10, 1),
                (100, 1),
                (500, 1),
                (10, 100),
                (100, 100),
                (500, 100),
                (10, 10_000),
            ],
        }
    }

    /// How many seeds each kind of store goes through, and whether that is the client of Redis.
    pub(crate) fn runs(&self, count: u64) -> Vec<(u64, bool)> {
        match (self.redis, self.seed) {
            (true, _) => vec![(count, true)],
            (false, Some(_)) => vec![(count, false)],
            (false, None) => vec![(count, false), (count.div_ceil(10), true)],
        }
    }

    /// The seeds to go through, the first and how many.
    pub(crate) fn seeds(&self) -> (u64, u64) {
        let one = self.seed.is_some() || self.trace;
        let count = self.seeds.unwrap_or(if one { 1 } else { SEEDS });
        (self.seed.unwrap_or(0), count)
    }
}
