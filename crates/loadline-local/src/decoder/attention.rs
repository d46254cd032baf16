//! Attention of packed rows to what each of them may see.

use std::ops::Range;

use rayon::prelude::*;

use super::cache::KvCache;
use super::config::Config;
use super::forward::Segment;
use crate::kernels::{Backend, LANES, Lanes, Operation, Simd, Softmax, outer};

/// Pairs of row and query head that are computed together: they read the same keys and values.
const PAIRS: usize = 32;

/// The attention of one layer.
pub(super) struct Attention<'a> {
    pub config: &'a Config,
    pub backend: Backend,
    pub layer: usize,
    pub segments: &'a [Segment],
    pub caches: &'a [&'a mut KvCache],
    /// First cache row of each segment.
    pub own: &'a [usize],
    /// One row for each token: all query heads.
    pub queries: &'a [f32],
}

/// Some rows of one segment, with the query heads of one key head.
struct Task {
    segment: usize,
    head: usize,
    rows: Range<usize>,
}

impl Attention<'_> {
    /// Writes a row for each token: what each query head gathered.
    pub fn run(&self, out: &mut [f32]) {
        let group = self.config.heads / self.config.kv_heads;
        let per_task = (PAIRS / group).max(1);
        let mut tasks = Vec::new();
        for (segment, about) in self.segments.iter().enumerate() {
            for first in about.rows.clone().step_by(per_task) {
                let rows = first..(first + per_task).min(about.rows.end);
                tasks.extend((0..self.config.kv_heads).map(|head| Task {
                    segment,
                    head,
                    rows: rows.clone(),
                }));
            }
        }
        let small = tasks.len() < 2 * rayon::current_num_threads();
        let compute = |task: &Task| self.backend.run(Block { attention: self, task });
        let blocks: Vec<Vec<f32>> =
            if small { tasks.iter().map(compute).collect() } else { tasks.par_iter().map(compute).collect() };
        let (per_head, per_row) = (self.config.head_width, self.config.heads * self.config.head_width);
        for (task, block) in tasks.iter().zip(&blocks) {
            for (row, values) in task.rows.clone().zip(block.chunks_exact(group * per_head)) {
                out[row * per_row + task.head * group * per_head..][..values.len()].copy_from_slice(values);
            }
        }
    }

    /// The cache rows that a row of a segment sees: ranges in order.
    fn visible(&self, segment: usize, row: usize) -> Vec<Range<usize>> {
        let about = &self.segments[segment];
        let positions = self.caches[about.cache].positions();
        let own = self.own[segment];
        let last = own + row - about.rows.start;
        let mut ranges = about.sees.clone();
        ranges.push(own..last + 1);
        if let Some(window) = self.config.window_of(self.layer) {
            let oldest = (positions[last] as usize + 1).saturating_sub(window);
            for range in &mut ranges {
                // Inside a range positions grow by one from row to row.
                let skip = oldest.saturating_sub(positions.get(range.start).map_or(0, |p| *p as usize));
                range.start = range.end.min(range.start + skip);
            }
        }
        ranges.retain(|range| !range.is_empty());
        ranges
    }
}

/// Joins the tiles that ranges of rows touch into runs of tiles.
fn tile_runs<'a>(ranges: impl Iterator<Item = &'a Range<usize>>) -> Vec<Range<usize>> {
    let mut tiles: Vec<Range<usize>> = ranges.map(|r| r.start / LANES..r.end.div_ceil(LANES)).collect();
    tiles.sort_by_key(|range| range.start);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for range in tiles {
        match runs.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => runs.push(range),
        }
    }
    runs
}

/// The computation of one task; gives a row of values for each pair.
struct Block<'a, 'b> {
    attention: &'a Attention<'b>,
    task: &'a Task,
}

/// Calls a function for all pairs, with as many at once as the registers hold.
macro_rules! over_pairs {
    ($simd:ident, $pairs:expr, $function:ident($($argument:expr),*)) => {{
        let mut at = 0;
        while at < $pairs {
            at += match $pairs - at {
                8.. if S::PANEL_TILES == 2 => { $function::<S, 8>($simd, at, $($argument),*); 8 }
                4.. => { $function::<S, 4>($simd, at, $($argument),*); 4 }
                2.. => { $function::<S, 2>($simd, at, $($argument),*); 2 }
                _ => { $function::<S, 1>($simd, at, $($argument),*); 1 }
            };
        }
    }};
}

impl Operation for Block<'_, '_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<f32> {
        let (attention, task) = (self.attention, self.task);
        let config = attention.config;
        let cache: &KvCache = attention.caches[attention.segments[task.segment].cache];
        let group = config.heads / config.kv_heads;
        let width = config.head_width;
        let visible: Vec<_> = task.rows.clone().map(|row| attention.visible(task.segment, row)).collect();
        let runs = tile_runs(visible.iter().flatten());
        let columns = runs.iter().map(|run| run.len() * LANES).sum::<usize>();
        let pairs = task.rows.len() * group;
        let per_row = config.heads * width;
        let queries: Vec<&[f32]> = task
            .rows
            .clone()
            .flat_map(|row| {
                let heads = &attention.queries[row * per_row + task.head * group * width..][..group * width];
                heads.chunks_exact(width)
            })
            .collect();
        let mut scores = Scores { values: vec![0.0; pairs * columns], columns };
        let scale = config.attention_scale;
        for (place, tile) in runs.iter().cloned().flatten().enumerate() {
            let keys = cache.keys(attention.layer, tile, task.head);
            over_pairs!(simd, pairs, score(&queries, keys, scale, &mut scores, place * LANES));
        }
        for (pair, row) in scores.values.chunks_exact_mut(columns).enumerate() {
            hide(row, &runs, &visible[pair / group]);
            Softmax(row).run(simd);
        }
        let mut out = vec![0.0f32; pairs * width];
        for part in 0..width.div_ceil(LANES) {
            let values: Vec<&[Lanes]> = runs
                .iter()
                .map(|run| cache.values(attention.layer, task.head, part, run.start * LANES..run.end * LANES))
                .collect();
            over_pairs!(simd, pairs, gather(&scores, &values, &mut out, width, part));
        }
        out
    }
}

/// A row for each pair: scores, then probabilities.
struct Scores {
    values: Vec<f32>,
    columns: usize,
}

/// The scores of `M` queries with sixteen keys, which begin at a column.
#[inline(always)]
fn score<S: Simd, const M: usize>(
    simd: S,
    first: usize,
    queries: &[&[f32]],
    keys: &[Lanes],
    scale: f32,
    scores: &mut Scores,
    column: usize,
) {
    let mut sums = [[simd.splat(0.0); 1]; M];
    outer(simd, std::array::from_fn(|m| queries[first + m]), [keys], &mut sums);
    for (m, [sum]) in sums.into_iter().enumerate() {
        let to = &mut scores.values[(first + m) * scores.columns + column..];
        if let Some(to) = to.first_chunk_mut() {
            simd.store(simd.mul(sum, simd.splat(scale)), to);
        }
    }
}

/// Sixteen of the values that `M` queries gather with their probabilities: part `part` of a head of `width` values.
#[inline(always)]
fn gather<S: Simd, const M: usize>(
    simd: S,
    first: usize,
    scores: &Scores,
    values: &[&[Lanes]],
    out: &mut [f32],
    width: usize,
    part: usize,
) {
    let mut sums = [[simd.splat(0.0); 1]; M];
    let mut column = 0;
    for rows in values {
        let probabilities = |m: usize| &scores.values[(first + m) * scores.columns + column..][..rows.len()];
        outer(simd, std::array::from_fn(probabilities), [*rows], &mut sums);
        column += rows.len();
    }
    for (m, [sum]) in sums.into_iter().enumerate() {
        let mut lanes = [0.0; LANES];
        simd.store(sum, &mut lanes);
        let count = LANES.min(width - part * LANES);
        out[(first + m) * width + part * LANES..][..count].copy_from_slice(&lanes[..count]);
    }
}

/// Sets the scores of cache rows that are not visible to −∞.
#[inline(always)]
fn hide(scores: &mut [f32], runs: &[Range<usize>], visible: &[Range<usize>]) {
    for (lanes, tile) in scores.as_chunks_mut::<LANES>().0.iter_mut().zip(runs.iter().cloned().flatten()) {
        let rows = tile * LANES..(tile + 1) * LANES;
        if visible.iter().any(|range| range.start <= rows.start && rows.end <= range.end) {
            continue;
        }
        for (score, row) in lanes.iter_mut().zip(rows) {
            if !visible.iter().any(|range| range.contains(&row)) {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_what_touches() {
        let ranges = [0..5, 17..20, 64..70, 3..16];
        assert_eq!(tile_runs(ranges.iter()), [0..2, 4..5]);
        assert!(tile_runs([].iter()).is_empty());
    }

    #[test]
    fn only_visible_rows_keep_their_score() {
        let mut scores = [1.0f32; 48];
        hide(&mut scores, &[0..2, 4..5], &[0..16, 20..22, 64..65]);
        let kept: Vec<_> = (0..48).filter(|i| scores[*i] == 1.0).collect();
        assert_eq!(kept, (0..16).chain(20..22).chain(32..33).collect::<Vec<_>>());
    }
}
