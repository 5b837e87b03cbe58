//! Grouped-query attention on a CPU, which processes one tile of query rows at a time.
//!
//! A tile consists of the query rows of a few tokens for all query heads that share a key head, so
//! that each loaded key or value is used for all rows of the tile. A tile is processed in three
//! steps: the scores, the softmax, and the weighted sum of values.
//!
//! **Invariant:** the result of a row depends only on the row, the keys and the values. The result
//! is bit-identical in a batch of any size, on any number of threads, in every kernel family, and
//! with the keys and values in one piece or two. Scores are summed over a head's dimensions in
//! order, outputs are summed over the positions in order, and masked positions add nothing. If a
//! story is evaluated again, it therefore continues exactly as before.

mod steps;

use super::kv::{Blocks, Heads, KvBlocks};
use crate::lanes::{KvElement, WIDTH};
use crate::linear::{Aligned, Pool};
use std::cell::RefCell;
use std::ops::Range;
use std::thread::LocalKey;
use steps::{StepFn, step_fn, widened};

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub heads: usize,
    pub kv: Heads,
    /// The number of most recent positions that a token sees, including its own. `usize::MAX` means
    /// all positions.
    pub window: usize,
}

/// Consecutive tokens of one story, whose queries attend to the same keys and values.
pub struct Job<'a> {
    /// The index of the first token's row in the input.
    pub row: usize,
    pub tokens: usize,
    /// The position of the first token in the story.
    pub position: usize,
    /// The keys and values of all positions up to the last token, in two pieces. Each piece is
    /// followed by its length in positions.
    pub past: [(&'a KvBlocks, usize); 2],
}

/// The approximate numbers of query rows that a tile may have. With more rows per tile, keys and
/// values are widened to floats less often. With fewer rows, there are more tiles to distribute
/// over the threads.
const ROWS: [usize; 3] = [96, 48, 24];
/// The number of scores that fit in a core's own cache.
const SCORES: usize = 128 << 10;
/// Work with more multiplications than this is distributed over several threads.
const SHARE: usize = 100_000;

/// Computes causal attention for all jobs. `q` and `out` are `[rows, heads, dim]`.
pub fn attend(pool: &Pool, shape: Shape, q: &[f32], jobs: &[Job], out: &mut [f32]) {
    match jobs.first().map(|job| job.past[0].0) {
        Some(KvBlocks::F16(_)) => attend_typed(pool, shape, q, jobs, out, |kv| match kv {
            KvBlocks::F16(blocks) => Some(blocks),
            _ => None,
        }),
        Some(KvBlocks::F32(_)) => attend_typed(pool, shape, q, jobs, out, |kv| match kv {
            KvBlocks::F32(blocks) => Some(blocks),
            _ => None,
        }),
        Some(KvBlocks::Q8(_)) => attend_typed(pool, shape, q, jobs, out, |kv| match kv {
            KvBlocks::Q8(blocks) => Some(blocks),
            _ => None,
        }),
        None => {}
    }
}

fn attend_typed<N: KvElement>(
    pool: &Pool,
    shape: Shape,
    q: &[f32],
    jobs: &[Job],
    out: &mut [f32],
    blocks: fn(&KvBlocks) -> Option<&Blocks<N>>,
) {
    let rows = Rows {
        shape,
        q,
        out: out.as_mut_ptr(),
    };
    let mut tiles = Vec::new();
    for job in jobs {
        let step = step(shape, job, pool.threads());
        let [Some(first), Some(second)] = job.past.map(|(kv, _)| blocks(kv)) else {
            continue;
        };
        for token in (0..job.tokens).step_by(step) {
            let (row, position) = (job.row + token, job.position + token);
            let tokens = step.min(job.tokens - token);
            let past = [(first, job.past[0].1), (second, job.past[1].1)];
            let tile = |head| Tile::new(&rows, row, tokens, position, head, past);
            tiles.extend((0..shape.kv.count).map(tile));
        }
    }
    let run = step_fn::<N>(pool.family());
    let whole = |tile: &Tile<N>| {
        scratch(&SCORES_OF, tile.scores(), |scores| {
            let scores = scores.as_mut_ptr();
            // SAFETY: the processor supports the pool's family; each tile has its own outputs.
            scratch(&WIDENED, tile.widened(), |wide| unsafe {
                run(tile, scores, wide, Step::Scores(0..tile.blocks()));
                run(tile, scores, wide, Step::Softmax(0..tile.rows));
                run(tile, scores, wide, Step::Values(0..shape.kv.width()));
            });
        });
    };
    let work: usize = tiles
        .iter()
        .map(|tile| tile.rows * tile.span() * shape.kv.dim)
        .sum();
    if pool.threads() == 1 || work < SHARE {
        tiles.iter().for_each(whole);
    } else if tiles.len() >= 4 * pool.threads() {
        pool.run(tiles.len(), &|index| whole(&tiles[index]));
    } else {
        scratch(&SCORES_OF, tiles.iter().map(Tile::scores).sum(), |scores| {
            run_in_steps(pool, run, &tiles, scores);
        });
    }
}

/// Returns the number of tokens to put into each tile of a job.
fn step(shape: Shape, job: &Job, threads: usize) -> usize {
    let group = shape.heads / shape.kv.count;
    let seen = (job.position + job.tokens).min(shape.window.saturating_add(job.tokens));
    let fits = |rows: &&usize| {
        let tiles = job.tokens.div_ceil((**rows / group).max(1)) * shape.kv.count;
        **rows * seen <= SCORES && tiles >= 4 * threads
    };
    let rows = ROWS.iter().find(fits).unwrap_or(&ROWS[ROWS.len() - 1]);
    (rows / group).max(1)
}

/// Computes a few large tiles step by step. All threads work on the same step.
fn run_in_steps<N: KvElement>(pool: &Pool, run: StepFn<N>, tiles: &[Tile<N>], scores: &mut [f32]) {
    let mut at = 0;
    let places = tiles.iter().map(|tile| {
        at += tile.scores();
        at - tile.scores()
    });
    let places: Vec<usize> = places.collect();
    let scores = Scores(scores.as_mut_ptr());
    let scores = &scores;
    let mut steps: [Vec<(usize, Step)>; 3] = Default::default();
    for (index, tile) in tiles.iter().enumerate() {
        let (blocks, width) = (tile.blocks(), tile.shape.kv.width());
        let keys = |first| Step::Scores(first..blocks.min(first + 16));
        steps[0].extend((0..blocks).step_by(16).map(|first| (index, keys(first))));
        steps[1].extend((0..tile.rows).map(|row| (index, Step::Softmax(row..row + 1))));
        let columns = |first| Step::Values(first..width.min(first + 2 * WIDTH));
        steps[2].extend(
            (0..width)
                .step_by(2 * WIDTH)
                .map(|first| (index, columns(first))),
        );
    }
    for steps in steps {
        pool.run(steps.len(), &|unit| {
            let (index, step) = &steps[unit];
            // SAFETY: the processor supports the pool's family; each unit writes to its own scores
            // or outputs, and reads what the previous step finished.
            scratch(&WIDENED, tiles[*index].widened(), |wide| unsafe {
                let scores = scores.0.add(places[*index]);
                run(&tiles[*index], scores, wide, step.clone());
            });
        });
    }
}

/// A pointer to the start of the scores. Many threads write to the scores through it.
struct Scores(*mut f32);

// SAFETY: see `run_in_steps`.
unsafe impl Sync for Scores {}

thread_local! {
    static SCORES_OF: RefCell<Aligned<f32>> = RefCell::default();
    static WIDENED: RefCell<Aligned<f32>> = RefCell::default();
}

/// Calls `work` with a buffer of `len` floats that belongs to the current thread. The buffer is
/// retained to avoid allocations.
fn scratch(
    of: &'static LocalKey<RefCell<Aligned<f32>>>,
    len: usize,
    work: impl FnOnce(&mut [f32]),
) {
    of.with_borrow_mut(|numbers| {
        if numbers.len() < len {
            numbers.resize(len);
        }
        work(&mut numbers[..len]);
    });
}

/// The queries and outputs of all jobs, `[rows, heads, dim]` each.
struct Rows<'a> {
    shape: Shape,
    q: &'a [f32],
    out: *mut f32,
}

/// The query rows that are processed together: those of some consecutive tokens, for all query
/// heads that share one key head.
struct Tile<'a, N> {
    shape: Shape,
    q: &'a [f32],
    out: *mut f32,
    /// The index of the first token's row in the input.
    row: usize,
    /// The position of the first token in the story.
    position: usize,
    /// The number of query rows, which is the number of tokens times the number of query heads.
    rows: usize,
    /// The index of the key head.
    head: usize,
    pieces: [Piece<'a, N>; 2],
    /// The position in the story to which the first score of each row belongs.
    base: usize,
}

// SAFETY: a tile writes only to the outputs of its own tokens and heads.
unsafe impl<N: Sync> Sync for Tile<'_, N> {}

/// One of the two pieces of a job's keys and values, and the range of the piece's blocks that a
/// tile needs.
struct Piece<'a, N> {
    kv: &'a Blocks<N>,
    /// The position in the story at which `kv` begins.
    start: usize,
    blocks: Range<usize>,
    /// The range of positions within the piece that the tile's rows see.
    seen: Range<usize>,
}

#[derive(Clone)]
enum Step {
    /// Computes the scores of a range of blocks.
    Scores(Range<usize>),
    /// Computes the softmax of a range of rows.
    Softmax(Range<usize>),
    /// Computes the weighted sums of the values, for a range of a head's dimensions.
    Values(Range<usize>),
}

impl<'a, N: KvElement> Tile<'a, N> {
    fn new(
        rows: &Rows<'a>,
        row: usize,
        tokens: usize,
        position: usize,
        head: usize,
        past: [(&'a Blocks<N>, usize); 2],
    ) -> Self {
        let first = (position + 1).saturating_sub(rows.shape.window);
        let end = position + tokens;
        let piece = |kv: &'a Blocks<N>, start: usize, len: usize| {
            let from = first.saturating_sub(start).min(len);
            let seen = from..end.saturating_sub(start).min(len);
            let blocks = match seen.is_empty() {
                true => 0..0,
                false => seen.start / WIDTH..seen.end.div_ceil(WIDTH),
            };
            Piece {
                kv,
                start,
                blocks,
                seen,
            }
        };
        let pieces = [
            piece(past[0].0, 0, past[0].1),
            piece(past[1].0, past[0].1, past[1].1),
        ];
        let begin = |piece: &Piece<N>| piece.start + piece.blocks.start * WIDTH;
        let base = match pieces[0].seen.is_empty() {
            true => begin(&pieces[1]),
            false => begin(&pieces[0]),
        };
        Tile {
            shape: rows.shape,
            q: rows.q,
            out: rows.out,
            row,
            position,
            rows: tokens * (rows.shape.heads / rows.shape.kv.count),
            head,
            pieces,
            base,
        }
    }

    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv.count
    }

    /// Returns the end of the range of positions that a row sees. The end itself is not seen.
    fn end(&self, row: usize) -> usize {
        self.position + row / self.group() + 1
    }

    /// Returns the number of positions for which the tile has scores.
    fn span(&self) -> usize {
        self.position + self.rows / self.group() - self.base
    }

    /// Returns the length of a row of scores, padded to whole registers. The last number of a row
    /// is the reciprocal of the sum of its scores.
    fn stride(&self) -> usize {
        (self.span() + 1).next_multiple_of(WIDTH)
    }

    fn scores(&self) -> usize {
        self.rows * self.stride()
    }

    /// Returns the length of the scratch space for widened keys and values.
    fn widened(&self) -> usize {
        widened(self.rows, self.shape.kv)
    }

    fn blocks(&self) -> usize {
        self.pieces.iter().map(|piece| piece.blocks.len()).sum()
    }

    /// Returns the index at which a row begins in the queries and in the outputs.
    fn at(&self, row: usize) -> usize {
        let (token, head) = (row / self.group(), row % self.group());
        let head = self.head * self.group() + head;
        ((self.row + token) * self.shape.heads + head) * self.shape.kv.dim
    }
}

#[cfg(test)]
mod tests;
