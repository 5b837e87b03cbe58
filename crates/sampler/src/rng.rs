//! illumine's only random number generator. The same seed produces the same numbers on every
//! machine.
//!
//! The generator is xoshiro256++ seeded by SplitMix64, both by David Blackman and Sebastiano Vigna
//! ("Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021; reference code and
//! advice on seeding: <https://prng.di.unimi.it>). It is not cryptographic, and the caller provides
//! the seed.

/// The increment of SplitMix64's state: 2^64 divided by the golden ratio, rounded to an odd number.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of random numbers. A clone continues with the same numbers as the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// Creates the stream for `seed`. Its initial state is the first four outputs of SplitMix64.
    pub fn new(seed: u64) -> Rng {
        // SplitMix64 maps distinct states to distinct outputs, so four of them are never all zero,
        // the one state that xoshiro never leaves.
        Rng {
            state: [0, 1, 2, 3].map(|index| split_mix(seed, index)),
        }
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Returns the next random number in [0, 1), which is a multiple of 2^-53. It is made from the
    /// upper 53 bits, whose quality is better than that of the lower bits.
    pub fn next_f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Returns a random number from the standard normal distribution (Box and Muller 1958).
    pub fn next_normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.next_f64(), self.next_f64());
        libm::sqrt(-2.0 * libm::log(a)) * libm::cos(std::f64::consts::TAU * b)
    }
}

/// Derives a seed for stream number `stream` from `seed`. For a given `seed`, no two streams have
/// the same seed.
///
/// SplitMix64 is started at its own first output for `seed`, and the result is its output number
/// `stream`. Because of the first step, neighbouring values of `seed` do not have neighbouring
/// streams.
pub fn derive(seed: u64, stream: u64) -> u64 {
    split_mix(split_mix(seed, 0), stream)
}

/// The inverse of [`derive()`]: returns the seed that yields `derived` for stream number `stream`.
pub fn underive(derived: u64, stream: u64) -> u64 {
    split_mix_seed(split_mix_seed(derived, stream), 0)
}

/// Returns the seed for which output number `index` of SplitMix64 is `output`. Such a seed always
/// exists, since every step of SplitMix64 is invertible.
fn split_mix_seed(output: u64, index: u64) -> u64 {
    let z = output ^ (output >> 31) ^ (output >> 62);
    // The factors are the inverses of those in `split_mix`, modulo 2^64.
    let z = z.wrapping_mul(0x3196_42b2_d24d_8ec3);
    let z = z ^ (z >> 27) ^ (z >> 54);
    let z = z.wrapping_mul(0x96de_1b17_3f11_9089);
    let z = z ^ (z >> 30) ^ (z >> 60);
    z.wrapping_sub(GOLDEN.wrapping_mul(index.wrapping_add(1)))
}

/// Returns output number `index`, counted from 0, of SplitMix64 started at `seed`. No state is
/// stored, because the state of SplitMix64 is only a counter.
fn split_mix(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(GOLDEN.wrapping_mul(index.wrapping_add(1)));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_recovered_from_that_of_a_stream() {
        for (seed, stream) in [
            (0, 0),
            (42, 7),
            (u64::MAX, 1 << 40),
            (0x1234_5678_9abc_def0, 3),
        ] {
            assert_eq!(underive(derive(seed, stream), stream), seed);
        }
    }

    #[test]
    fn split_mix_gives_the_reference_outputs() {
        // From splitmix64.c for the seed 1234567, as published with the algorithm's many ports.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!([0, 1, 2, 3, 4].map(|i| split_mix(1_234_567, i)), expected);
    }

    #[test]
    fn xoshiro_gives_the_reference_outputs() {
        // From xoshiro256plusplus.c for the state 1, 2, 3, 4.
        let mut rng = Rng {
            state: [1, 2, 3, 4],
        };
        for expected in [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
            14_011_001_112_246_962_877,
            12_406_186_145_184_390_807,
            15_849_039_046_786_891_736,
            10_450_023_813_501_588_000,
        ] {
            assert_eq!(rng.next_u64(), expected);
        }
    }

    #[test]
    fn seeding_agrees_with_other_implementations() {
        // Seed 0: the test vector of Zig's standard library.
        let mut rng = Rng::new(0);
        for expected in [
            0x5317_5d61_490b_23df,
            0x61da_6f3d_c380_d507,
            0x5c0f_df91_ec9a_7bfc,
            0x02ee_bf8c_3bbe_5e1a,
        ] {
            assert_eq!(rng.next_u64(), expected);
        }
    }

    #[test]
    fn floats_are_the_top_53_bits() {
        // For seed 42 the first output is 0xd0764d4f4476689f (computed independently of this code);
        // without its low 11 bits, over 2^53, that is 0.8143051451229099.
        assert_eq!(Rng::new(42).next_f64(), 0.814_305_145_122_909_9);
        let mut rng = Rng::new(1);
        let all: Vec<f64> = (0..10_000).map(|_| rng.next_f64()).collect();
        assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
        // The mean of 10,000 has a standard deviation of 1/sqrt(12)/100 = 0.0029; allow four.
        let mean = all.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.0116, "{mean}");
    }

    #[test]
    fn derived_seeds_are_fixed_and_distinct() {
        // Computed independently of this code, from the definition.
        assert_eq!(derive(42, 0), 0x57e1_faba_6510_7204);
        assert_eq!(derive(42, 1), 0xf4ab_d143_feb2_4055);
        assert_eq!(derive(42, u64::MAX), 0xb29e_d950_786f_5ae3);
        let mut seeds: Vec<u64> = (0..1000).map(|stream| derive(7, stream)).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 1000);
    }
}
