//! Tries everything: depth first where all must hold, breadth first where the shortest way to a fault is wanted.

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use crate::notation::Sketch;
use crate::world::{Move, Scope, World, interchangeable};

/// A way to something that must never be.
pub(crate) struct Trail {
    pub(crate) moves: Vec<Move>,
    pub(crate) broken: String,
}

impl std::fmt::Display for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, one) in (1..).zip(&self.moves) {
            writeln!(f, "{number:3} {one:?}")?;
        }
        write!(f, "=> {}", self.broken)
    }
}

/// What was met so far. A sorted set would do; this one is quicker, and nobody reads it in order.
#[expect(clippy::disallowed_types, reason = "only asked whether something is in it")]
type Seen = std::collections::HashSet<u64>;

struct Level {
    world: World,
    print: u64,
    moves: Vec<Move>,
    next: usize,
}

/// Visits every world that can come to be. Returns how many there are.
pub(crate) fn everything(sketch: Sketch, scope: Scope) -> Result<usize, Trail> {
    let alike = interchangeable(&sketch);
    let (sketch, scope) = (Rc::new(sketch), Rc::new(scope));
    let broken_at = |path: &[Level], last: Option<Move>, broken: String| {
        let before = path.iter().filter_map(|level| level.moves.get(level.next.wrapping_sub(1)));
        Trail { moves: before.cloned().chain(last).collect(), broken }
    };
    let first = World::new(&sketch, &scope).map_err(|broken| broken_at(&[], None, broken))?;
    let mut seen = Seen::default();
    // Nothing comes back to where it was without a person or bad luck, and those are counted: no run goes round.
    let mut on_path = BTreeSet::new();
    let mut path: Vec<Level> = Vec::new();
    let mut enter = Some(first);
    loop {
        if let Some(world) = enter.take() {
            let print = world.print(&alike);
            if on_path.contains(&print) {
                return Err(broken_at(&path, None, "the run goes round in a circle".to_owned()));
            }
            if seen.insert(print) {
                let moves = world.moves();
                if let Err(broken) = world.check_liveness(&moves) {
                    return Err(broken_at(&path, None, broken));
                }
                on_path.insert(print);
                path.push(Level { world, print, moves, next: 0 });
            }
        }
        let Some(level) = path.last_mut() else { return Ok(seen.len()) };
        let Some(next) = level.moves.get(level.next) else {
            on_path.remove(&level.print);
            path.pop();
            continue;
        };
        level.next += 1;
        match level.world.after(next) {
            Ok(world) => enter = world,
            Err(broken) => return Err(broken_at(&path, None, broken)),
        }
    }
}

/// The shortest way to something that must never be, if there is one.
pub(crate) fn shortest(sketch: Sketch, scope: Scope) -> Option<Trail> {
    let alike = interchangeable(&sketch);
    let (sketch, scope) = (Rc::new(sketch), Rc::new(scope));
    let first = match World::new(&sketch, &scope) {
        Ok(first) => first,
        Err(broken) => return Some(Trail { moves: Vec::new(), broken }),
    };
    let mut seen = Seen::default();
    let mut came: Vec<(usize, Option<Move>)> = vec![(0, None)];
    let mut waiting = VecDeque::from([(0, first)]);
    let trail = |came: &[(usize, Option<Move>)], mut at: usize, last: Option<Move>, broken| {
        let mut moves: Vec<Move> = last.into_iter().collect();
        while let (before, Some(one)) = &came[at] {
            moves.push(one.clone());
            at = *before;
        }
        moves.reverse();
        Some(Trail { moves, broken })
    };
    while let Some((at, world)) = waiting.pop_front() {
        if !seen.insert(world.print(&alike)) {
            continue;
        }
        let moves = world.moves();
        if let Err(broken) = world.check_liveness(&moves) {
            return trail(&came, at, None, broken);
        }
        for one in moves {
            match world.after(&one) {
                Ok(Some(after)) => {
                    came.push((at, Some(one)));
                    waiting.push_back((came.len() - 1, after));
                }
                Ok(None) => {}
                Err(broken) => return trail(&came, at, Some(one), broken),
            }
        }
    }
    None
}
