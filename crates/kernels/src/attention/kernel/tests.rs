use super::*;
use crate::attention::kv::KvType;
use crate::linear::KernelFamily;
use proptest::prelude::*;

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 4.0 - 2.0
    };
    (0..count).map(next).collect()
}

/// Creates a cache with positions `from..to` of the keys `k` and values `v`, `[rows, heads, dim]`
/// each.
fn kept(kind: KvType, heads: Heads, k: &[f32], v: &[f32], from: usize, to: usize) -> KvBlocks {
    let mut kv = KvBlocks::new(kind, heads);
    kv.reserve(to - from);
    let width = heads.count * heads.dim;
    for at in from..to {
        kv.write(
            at - from,
            &k[at * width..][..width],
            &v[at * width..][..width],
        );
    }
    kv
}

/// A reference implementation, which computes attention in f64 directly from the definition.
fn reference(
    tokens: usize,
    position: usize,
    shape: Shape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> Vec<f32> {
    let Heads { count, dim } = shape.kv;
    let mut out = Vec::new();
    for token in 0..tokens {
        for head in 0..shape.heads {
            let end = position + token + 1;
            let first = end.saturating_sub(shape.window);
            let kv = head / (shape.heads / count);
            let at = |x: &[f32], row: usize, i: usize| x[(row * count + kv) * dim + i] as f64;
            let q = &q[(token * shape.heads + head) * dim..][..dim];
            let score = |row: usize| -> f64 {
                let dot: f64 = (0..dim).map(|i| q[i] as f64 * at(k, row, i)).sum();
                (dot / (dim as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (first..end).map(score).collect();
            let sum: f64 = weights.iter().sum();
            out.extend((0..dim).map(|i| {
                let weighted = weights
                    .iter()
                    .zip(first..end)
                    .map(|(w, row)| w * at(v, row, i));
                (weighted.sum::<f64>() / sum) as f32
            }));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn it_is_attention_by_its_definition(
        tokens in 1usize..20, position in 0usize..90, group in 1usize..8, count in 1usize..4,
        dim in prop::sample::select(vec![8usize, 24, 64, 80, 128]),
        window in prop::sample::select(vec![usize::MAX, 1, 5, 17, 40]), seed in any::<u64>(),
    ) {
        let shape = Shape { heads: group * count, kv: Heads { count, dim }, window };
        let len = position + tokens;
        let q = numbers(tokens * shape.heads * dim, seed);
        let (k, v) = (numbers(len * count * dim, seed ^ 1), numbers(len * count * dim, seed ^ 2));
        let exact = reference(tokens, position, shape, &q, &k, &v);
        for (kind, close) in [(KvType::F32, 2e-5), (KvType::F16, 6e-3), (KvType::Q8, 6e-2)] {
            let all = kept(kind, shape.kv, &k, &v, 0, len);
            let none = all.empty_like();
            let job = Job { row: 0, tokens, position, past: [(&all, len), (&none, 0)] };
            let mut out = vec![0f32; q.len()];
            attend(&Pool::new(2), shape, &q, &[job], &mut out);
            for (ours, exact) in out.iter().zip(&exact) {
                prop_assert!((ours - exact).abs() < close, "{kind:?}: {ours} {exact}");
            }
            // Bit-identical alone, in two pieces, on one thread and in every family.
            let row = shape.heads * dim;
            for family in KernelFamily::ALL.into_iter().filter(|family| family.is_supported()) {
                let pool = Pool::with_family(1, family);
                for token in 0..tokens {
                    let end = position + token + 1;
                    let cut = (seed as usize) % (end + 1);
                    let pieces = [kept(kind, shape.kv, &k, &v, 0, cut), kept(kind, shape.kv, &k, &v, cut, end)];
                    let past = [(&pieces[0], cut), (&pieces[1], end - cut)];
                    let job = Job { row: 0, tokens: 1, position: position + token, past };
                    let mut alone = vec![0f32; row];
                    attend(&pool, shape, &q[token * row..][..row], &[job], &mut alone);
                    prop_assert_eq!(&alone[..], &out[token * row..][..row], "{:?} {:?}", kind, family);
                }
            }
        }
    }
}

/// Tests a token that is so far into the story that all threads work together on each step.
#[test]
fn one_token_far_on_is_the_same_on_any_number_of_threads() {
    let shape = Shape {
        heads: 9,
        kv: Heads { count: 3, dim: 64 },
        window: usize::MAX,
    };
    let len = 700;
    let q = numbers(9 * 64, 1);
    let (k, v) = (numbers(len * 192, 2), numbers(len * 192, 3));
    let all = kept(KvType::F16, shape.kv, &k, &v, 0, len);
    let pieces = [
        kept(KvType::F16, shape.kv, &k, &v, 0, 333),
        kept(KvType::F16, shape.kv, &k, &v, 333, len),
    ];
    let none = all.empty_like();
    let run = |threads, past| {
        let mut out = vec![0f32; q.len()];
        let job = Job {
            row: 0,
            tokens: 1,
            position: len - 1,
            past,
        };
        attend(&Pool::new(threads), shape, &q, &[job], &mut out);
        out
    };
    let one = run(1, [(&all, len), (&none, 0)]);
    for threads in [2, 3] {
        assert_eq!(one, run(threads, [(&all, len), (&none, 0)]));
        assert_eq!(
            one,
            run(threads, [(&pieces[0], 333), (&pieces[1], len - 333)])
        );
    }
}

#[test]
fn what_is_saved_comes_back() {
    let heads = Heads { count: 2, dim: 24 };
    let (k, v) = (numbers(40 * 48, 1), numbers(40 * 48, 2));
    for kind in [KvType::F16, KvType::F32, KvType::Q8] {
        let kv = kept(kind, heads, &k, &v, 0, 40);
        let (mut saved, mut again) = (Vec::new(), Vec::new());
        kv.save(3, 37, &mut saved);
        assert_eq!(saved.len(), 34 * kv.saved_bytes());
        let mut other = kv.empty_like();
        other.restore(3, 37, &saved);
        other.save(3, 37, &mut again);
        assert_eq!(saved, again);
        let mut copy = kv.empty_like();
        copy.reserve(20);
        copy.copy(17, &kv, 36);
        let (mut one, mut same) = (Vec::new(), Vec::new());
        kv.save(36, 37, &mut one);
        copy.save(17, 18, &mut same);
        assert_eq!(one, same);
    }
}
