//! A breadth-first explorer of all states of a model, for safety and for liveness.
//!
//! Not stateright: its `eventually` holds on acyclic paths only (it says so itself), and this protocol is full of
//! cycles, since a follower that wakes at a lease's end to find it renewed is where it was before. What has to be
//! shown is that no *fair* run stays in such a cycle, for which the whole graph is needed.

use std::collections::{HashMap, VecDeque};
use std::fmt::{Debug, Write};
use std::hash::{BuildHasherDefault, Hash, Hasher};

pub(crate) trait Model {
    type State: Clone + Eq + Hash + Debug;
    type Action: Copy + Debug;

    fn initial(&self) -> Self::State;

    /// All that can happen in `state`.
    fn actions(&self, state: &Self::State, actions: &mut Vec<Self::Action>);

    fn step(&self, state: &Self::State, action: Self::Action) -> Self::State;

    /// What is wrong with `state`.
    fn flaw(&self, state: &Self::State) -> Option<String>;

    /// The number, below 128, of a step that is taken sooner or later if nothing keeps it from being taken. Faults
    /// and arrivals have none: they may never come, and come only so often.
    fn fair(&self, action: Self::Action) -> Option<u32>;

    /// Whether the numbers of the steps mean the same in all states.
    fn is_fair_by_number(&self) -> bool;

    /// Whether a caller still waits for something, which must not be so for ever.
    fn waiting(&self, state: &Self::State) -> bool;
}

/// The whole state space.
pub(crate) struct Explored<A> {
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// One of each action that was ever taken.
    pub(crate) taken: Vec<A>,
}

/// What went wrong, and the shortest way there.
pub(crate) struct Counterexample {
    pub(crate) flaw: String,
    pub(crate) trace: String,
}

impl Debug for Counterexample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.flaw, self.trace)
    }
}

/// The states in the order of their discovery, and how they hang together.
struct Graph<A> {
    /// From where, and how, a state was first reached.
    reached: Vec<Option<(u32, A)>>,
    waiting: Vec<bool>,
    /// The fair steps that can be taken in a state, as bits.
    enabled: Vec<u128>,
    /// The fair steps out of state `n` are those from `first[n]` to `first[n + 1]`.
    first: Vec<u32>,
    edges: Vec<(u32, u8)>,
}

pub(crate) fn explore<M: Model>(model: &M) -> Result<Explored<M::Action>, Counterexample> {
    let mut graph = Graph {
        reached: vec![None],
        waiting: Vec::new(),
        enabled: Vec::new(),
        first: vec![0],
        edges: Vec::new(),
    };
    let initial = model.initial();
    let mut known: HashMap<M::State, u32, BuildHasherDefault<Mix>> = HashMap::default();
    known.insert(initial.clone(), 0);
    let mut frontier = VecDeque::from([initial]);
    let mut actions = Vec::new();
    let mut taken: HashMap<_, M::Action> = HashMap::new();
    let mut transitions = 0;
    for at in 0.. {
        let Some(state) = frontier.pop_front() else { break };
        if let Some(flaw) = model.flaw(&state) {
            let trace = graph.trace(model, at);
            return Err(Counterexample { flaw, trace });
        }
        actions.clear();
        model.actions(&state, &mut actions);
        let mut enabled = 0;
        for &action in &actions {
            taken.entry(std::mem::discriminant(&action)).or_insert(action);
            let next = model.step(&state, action);
            let index = u32::try_from(known.len()).expect("few enough states");
            let index = *known.entry(next).or_insert_with_key(|next| {
                frontier.push_back(next.clone());
                graph.reached.push(Some((at, action)));
                index
            });
            transitions += 1;
            if let Some(label) = model.fair(action) {
                enabled |= 1 << label;
                graph.edges.push((index, u8::try_from(label).expect("below 128")));
            }
        }
        graph.waiting.push(model.waiting(&state));
        graph.enabled.push(enabled);
        graph
            .first
            .push(u32::try_from(graph.edges.len()).expect("few enough edges"));
    }
    let stuck = match model.is_fair_by_number() {
        true => graph.stuck(),
        false => graph.lost(),
    };
    if let Some(stuck) = stuck {
        let (flaw, trace) = ("a caller may wait for ever".to_owned(), graph.trace(model, stuck));
        return Err(Counterexample { flaw, trace });
    }
    Ok(Explored {
        states: known.len(),
        transitions,
        taken: taken.into_values().collect(),
    })
}

impl<A: Copy + Debug> Graph<A> {
    fn trace<M: Model<Action = A>>(&self, model: &M, end: u32) -> String {
        let mut actions = Vec::new();
        let mut at = end;
        while let Some((before, action)) = self.reached[at as usize] {
            actions.push(action);
            at = before;
        }
        let mut state = model.initial();
        let mut trace = String::new();
        for action in actions.into_iter().rev() {
            state = model.step(&state, action);
            let _ = writeln!(trace, "  {action:?}");
        }
        let _ = write!(trace, "{state:#?}");
        trace
    }

    /// A state from which a caller may wait for ever although every step that can be taken for ever is taken.
    ///
    /// Faults and arrivals are bounded, so from some point on a run takes fair steps only, and in the end stays within
    /// one strongly connected component of theirs. It may do so for ever, and yet be fair, if every fair step is
    /// taken within the component or cannot be taken somewhere in it.
    fn stuck(&self) -> Option<u32> {
        self.components().into_iter().find_map(|(members, taken)| {
            let always = members.iter().fold(u128::MAX, |all, &n| all & self.enabled[n as usize]);
            let stays = always & !taken == 0;
            members.into_iter().min().filter(|&n| stays && self.waiting[n as usize])
        })
    }

    /// A state from which no fair steps at all lead to where no caller waits.
    fn lost(&self) -> Option<u32> {
        let mut before = vec![Vec::new(); self.reached.len()];
        for node in 0..u32::try_from(before.len()).expect("few enough states") {
            self.steps(node).for_each(|(next, _)| before[next as usize].push(node));
        }
        let mut saved: Vec<bool> = self.waiting.iter().map(|waiting| !waiting).collect();
        let mut open: Vec<usize> = (0..saved.len()).filter(|&n| saved[n]).collect();
        while let Some(node) = open.pop() {
            for &node in &before[node] {
                if !std::mem::replace(&mut saved[node as usize], true) {
                    open.push(node as usize);
                }
            }
        }
        saved
            .iter()
            .position(|saved| !saved)
            .and_then(|n| u32::try_from(n).ok())
    }

    /// The strongly connected components of the fair steps, with the steps taken inside (Tarjan, without recursion).
    fn components(&self) -> Vec<(Vec<u32>, u128)> {
        const UNSEEN: u32 = u32::MAX;
        const DONE: u32 = u32::MAX - 1;
        let count = self.reached.len();
        let (mut low, mut number) = (vec![UNSEEN; count], 0);
        let (mut open, mut path): (Vec<u32>, Vec<(u32, u32, u32)>) = (Vec::new(), Vec::new());
        let mut component = vec![UNSEEN; count];
        let mut components = Vec::new();
        for root in 0..u32::try_from(count).expect("few enough states") {
            if low[root as usize] != UNSEEN {
                continue;
            }
            path.push((root, self.first[root as usize], number));
            while let Some((node, edge, mine)) = path.pop() {
                let at = node as usize;
                if low[at] == UNSEEN {
                    low[at] = mine;
                    number += 1;
                    open.push(node);
                }
                if edge < self.first[at + 1] {
                    let (next, _) = self.edges[edge as usize];
                    path.push((node, edge + 1, mine));
                    match low[next as usize] {
                        UNSEEN => path.push((next, self.first[next as usize], number)),
                        DONE => {}
                        seen => low[at] = low[at].min(seen),
                    }
                    continue;
                }
                if low[at] == mine {
                    let start = open.iter().rposition(|&n| n == node).expect("open");
                    let members = open.split_off(start);
                    for &member in &members {
                        low[member as usize] = DONE;
                        component[member as usize] = node;
                    }
                    let inside = members.iter().flat_map(|&n| self.steps(n));
                    let inside = inside.filter(|(next, _)| component[*next as usize] == node);
                    let taken = inside.fold(0, |taken, (_, label)| taken | 1 << label);
                    components.push((members, taken));
                } else if let Some(&(parent, ..)) = path.last() {
                    low[parent as usize] = low[parent as usize].min(low[at]);
                }
            }
        }
        components
    }

    fn steps(&self, node: u32) -> impl Iterator<Item = (u32, u8)> + '_ {
        let range = self.first[node as usize] as usize..self.first[node as usize + 1] as usize;
        self.edges[range].iter().copied()
    }
}

/// A hash that is fast without optimization, too.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        // The table looks at the upper bits and at the lower ones.
        self.0 ^ (self.0 >> 32)
    }
}
