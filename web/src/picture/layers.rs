//! Where the boxes of a graph stand: in columns by what they need, ordered so that few lines cross. Pure.

/// The space between columns, and between boxes of a column.
const COLUMN_GAP: f64 = 52.0;
const ROW_GAP: f64 = 14.0;
/// How often the order is improved, and the places.
const SWEEPS: usize = 12;

/// Places for boxes.
pub(super) struct Placed {
    /// Left upper corners of the boxes.
    pub(super) boxes: Vec<(f64, f64)>,
    /// For each line (from, to): the points it goes through, from the right side of one to the left side of the other.
    pub(super) lines: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

struct Item {
    column: usize,
    width: f64,
    height: f64,
    y: f64,
}

/// Places boxes of these sizes; `needs[i]` are the boxes that stand before box `i`.
pub(super) fn place(sizes: &[(f64, f64)], needs: &[Vec<usize>]) -> Placed {
    let columns = columns(needs);
    let mut items: Vec<Item> = sizes
        .iter()
        .zip(&columns)
        .map(|(&(width, height), &column)| Item { column, width, height, y: 0.0 })
        .collect();
    // A line over several columns gets a place in each between.
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for (to, list) in needs.iter().enumerate() {
        for &from in list {
            let mut chain = vec![from];
            for column in columns[from] + 1..columns[to] {
                chain.push(items.len());
                items.push(Item { column, width: 0.0, height: 4.0, y: 0.0 });
            }
            chain.push(to);
            chains.push(chain);
        }
    }
    let mut before = vec![Vec::new(); items.len()];
    let mut after = vec![Vec::new(); items.len()];
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        after[pair[0]].push(pair[1]);
        before[pair[1]].push(pair[0]);
    }
    let count = items.iter().map(|item| item.column + 1).max().unwrap_or(0);
    let mut order: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (at, item) in items.iter().enumerate() {
        order[item.column].push(at);
    }
    untangle(&mut order, &before, &after);
    set_heights(&mut items, &order, &before, &after);

    let mut left = vec![0.0; count];
    let mut x = 0.0;
    for (column, members) in order.iter().enumerate() {
        left[column] = x;
        let widest = members.iter().map(|&at| items[at].width).fold(0.0, f64::max);
        x += widest + COLUMN_GAP;
    }
    let top = items.iter().map(|item| item.y).fold(f64::INFINITY, f64::min);
    let top = if top.is_finite() { top } else { 0.0 };
    for item in &mut items {
        item.y -= top;
    }
    let middle = |at: usize| items[at].y + items[at].height / 2.0;
    let lines = chains
        .iter()
        .map(|chain| {
            let last = chain.len() - 1;
            let mut points = Vec::with_capacity(chain.len());
            for (step, &at) in chain.iter().enumerate() {
                let x = left[items[at].column] + if step == last { 0.0 } else { items[at].width };
                points.push((x, middle(at)));
            }
            points
        })
        .collect();
    Placed {
        boxes: (0..sizes.len()).map(|at| (left[items[at].column], items[at].y)).collect(),
        lines,
        width: (x - COLUMN_GAP).max(0.0),
        height: items.iter().map(|item| item.y + item.height).fold(0.0, f64::max),
    }
}

/// The longest way to each box.
fn columns(needs: &[Vec<usize>]) -> Vec<usize> {
    fn column(at: usize, needs: &[Vec<usize>], known: &mut [Option<usize>]) -> usize {
        if let Some(found) = known[at] {
            return found;
        }
        known[at] = Some(0);
        let found = needs[at].iter().map(|&need| column(need, needs, known) + 1).max().unwrap_or(0);
        known[at] = Some(found);
        found
    }
    let mut known = vec![None; needs.len()];
    (0..needs.len()).map(|at| column(at, needs, &mut known)).collect()
}

/// Orders each column by the middle of its neighbours, back and forth, and keeps the best order met.
fn untangle(order: &mut Vec<Vec<usize>>, before: &[Vec<usize>], after: &[Vec<usize>]) {
    let mut best = (crossings(order, after), order.clone());
    for sweep in 0..SWEEPS {
        let is_forth = sweep % 2 == 0;
        let towards = if is_forth { before } else { after };
        let mut place = vec![0.0; before.len()];
        for members in order.iter() {
            for (at, &item) in members.iter().enumerate() {
                place[item] = at as f64;
            }
        }
        let columns: Vec<usize> =
            if is_forth { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for column in columns {
            let mut members: Vec<(f64, usize)> = order[column]
                .iter()
                .map(|&item| {
                    let near = &towards[item];
                    let sum: f64 = near.iter().map(|&other| place[other]).sum();
                    let middle =
                        if near.is_empty() { place[item] } else { sum / near.len() as f64 };
                    (middle, item)
                })
                .collect();
            members.sort_by(|one, other| one.0.total_cmp(&other.0));
            for (at, &(_, item)) in members.iter().enumerate() {
                place[item] = at as f64;
            }
            order[column] = members.into_iter().map(|(_, item)| item).collect();
        }
        let found = crossings(order, after);
        if found < best.0 {
            best = (found, order.clone());
        }
        if found == 0 {
            break;
        }
    }
    *order = best.1;
}

/// How many pairs of lines cross.
fn crossings(order: &[Vec<usize>], after: &[Vec<usize>]) -> usize {
    let mut place = vec![0; after.len()];
    for members in order {
        for (at, &item) in members.iter().enumerate() {
            place[item] = at;
        }
    }
    let mut count = 0;
    for members in order {
        // The ends on the right in the order of their beginnings: each pair out of order is a crossing.
        let mut ends: Vec<usize> = Vec::new();
        for &item in members {
            let mut own: Vec<usize> = after[item].iter().map(|&to| place[to]).collect();
            own.sort_unstable();
            for &end in &own {
                let smaller = ends.partition_point(|&seen| seen <= end);
                count += ends.len() - smaller;
            }
            for end in own {
                let at = ends.partition_point(|&seen| seen <= end);
                ends.insert(at, end);
            }
        }
    }
    count
}

/// Moves boxes up and down towards the middle of their neighbours, without changing their order.
fn set_heights(
    items: &mut [Item],
    order: &[Vec<usize>],
    before: &[Vec<usize>],
    after: &[Vec<usize>],
) {
    for members in order {
        let mut y = 0.0;
        for &at in members {
            items[at].y = y;
            y += items[at].height + ROW_GAP;
        }
    }
    for sweep in 0..SWEEPS {
        let is_forth = sweep % 2 == 0;
        let towards = if is_forth { before } else { after };
        let columns: Vec<usize> =
            if is_forth { (0..order.len()).collect() } else { (0..order.len()).rev().collect() };
        for column in columns {
            let members = &order[column];
            let wanted: Vec<f64> = members
                .iter()
                .map(|&at| {
                    let near = &towards[at];
                    if near.is_empty() {
                        return items[at].y;
                    }
                    let sum: f64 =
                        near.iter().map(|&other| items[other].y + items[other].height / 2.0).sum();
                    sum / near.len() as f64 - items[at].height / 2.0
                })
                .collect();
            let mut lowest = f64::NEG_INFINITY;
            let mut given = Vec::with_capacity(members.len());
            for (&at, &wish) in members.iter().zip(&wanted) {
                let y = wish.max(lowest);
                given.push(y);
                lowest = y + items[at].height + ROW_GAP;
            }
            // Pushing was downwards only: the column as a whole goes back by the mean.
            let shift = given.iter().zip(&wanted).map(|(y, wish)| y - wish).sum::<f64>()
                / members.len().max(1) as f64;
            for (&at, y) in members.iter().zip(given) {
                items[at].y = y - shift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(placed: &Placed, sizes: &[(f64, f64)]) -> bool {
        let all: Vec<_> = placed.boxes.iter().zip(sizes).collect();
        all.iter().enumerate().any(|(at, (one, a))| {
            all[at + 1..].iter().any(|(other, b)| {
                one.0 < other.0 + b.0
                    && other.0 < one.0 + a.0
                    && one.1 < other.1 + b.1 - 0.01
                    && other.1 < one.1 + a.1 - 0.01
            })
        })
    }

    #[test]
    fn lines_that_need_not_cross_do_not() {
        // 0 -> 3, 1 -> 2 as written would cross.
        let needs = vec![vec![], vec![], vec![1], vec![0]];
        let sizes = vec![(100.0, 40.0); 4];
        let placed = place(&sizes, &needs);
        let y = |at: usize| placed.boxes[at].1;
        assert_eq!(y(0) < y(1), y(3) < y(2));
        assert!(!overlap(&placed, &sizes));
    }

    #[test]
    fn a_chain_is_straight() {
        let placed = place(&[(100.0, 40.0); 3], &[vec![], vec![0], vec![1]]);
        assert!(placed.boxes.iter().all(|(_, y)| y.abs() < 0.01), "{:?}", placed.boxes);
        assert!(placed.boxes[0].0 < placed.boxes[1].0 && placed.boxes[1].0 < placed.boxes[2].0);
    }

    #[test]
    fn three_hundred_boxes_do_not_overlap() {
        let mut seed = 7_u64;
        let mut next = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut needs: Vec<Vec<usize>> = Vec::new();
        for at in 0..300_usize {
            let mut own: Vec<usize> =
                (0..next(3)).filter(|_| at > 0).map(|_| next(at.max(1))).collect();
            own.sort_unstable();
            own.dedup();
            needs.push(own);
        }
        let sizes: Vec<(f64, f64)> =
            (0..300).map(|_| (100.0 + next(50) as f64, 40.0 + next(60) as f64)).collect();
        let placed = place(&sizes, &needs);
        assert!(!overlap(&placed, &sizes));
        assert_eq!(placed.lines.len(), needs.iter().map(Vec::len).sum::<usize>());
    }

    #[test]
    fn nothing_at_all_has_no_size() {
        let placed = place(&[], &[]);
        assert!(placed.width.abs() < f64::EPSILON && placed.height.abs() < f64::EPSILON);
    }
}
