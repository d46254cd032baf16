//! Every format and every backend against plain sums.

use super::*;
use crate::kernels::Backend;

const KINDS: [TensorKind; 13] = [
    TensorKind::F32,
    TensorKind::F16,
    TensorKind::BF16,
    TensorKind::Q4_0,
    TensorKind::Q4_1,
    TensorKind::Q5_0,
    TensorKind::Q5_1,
    TensorKind::Q8_0,
    TensorKind::Q2_K,
    TensorKind::Q3_K,
    TensorKind::Q4_K,
    TensorKind::Q5_K,
    TensorKind::Q6_K,
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From −1 to 1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Where a block has scales and mins of 16 bits.
fn halves(kind: TensorKind) -> &'static [usize] {
    match kind {
        TensorKind::Q4_0 | TensorKind::Q5_0 | TensorKind::Q8_0 => &[0],
        TensorKind::Q4_1 | TensorKind::Q5_1 | TensorKind::Q4_K | TensorKind::Q5_K => &[0, 2],
        TensorKind::Q2_K => &[80, 82],
        TensorKind::Q3_K => &[108],
        TensorKind::Q6_K => &[208],
        TensorKind::F32 | TensorKind::F16 | TensorKind::BF16 => &[],
    }
}

fn random_bytes(kind: TensorKind, values: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..values / kind.block_len() {
        let start = bytes.len();
        match kind {
            TensorKind::F32 => bytes.extend(random.unit().to_le_bytes()),
            TensorKind::F16 => bytes.extend(format::f32_to_half(random.unit()).to_le_bytes()),
            TensorKind::BF16 => bytes.extend(((random.unit().to_bits() >> 16) as u16).to_le_bytes()),
            _ => bytes.extend((0..kind.block_bytes()).map(|_| random.next() as u8)),
        }
        for at in halves(kind) {
            let half = format::f32_to_half(0.01 * random.unit());
            bytes[start + at..start + at + 2].copy_from_slice(&half.to_le_bytes());
        }
    }
    bytes
}

fn matrix(kind: TensorKind, rows: usize, columns: usize, bytes: &[u8], precision: Precision) -> Matrix {
    let tensor = TensorInfo { name: String::new(), kind, columns, rows, offset: 0 };
    let read = |first: usize, out: &mut [u8]| {
        out.copy_from_slice(&bytes[first * tensor.row_bytes()..][..out.len()]);
        Ok(())
    };
    Matrix::read(&tensor, precision, read).unwrap()
}

fn weights(matrix: &Matrix) -> Vec<Vec<f32>> {
    let row = |r| {
        let mut out = vec![f32::NAN; matrix.columns()];
        matrix.row(r, &mut out);
        out
    };
    (0..matrix.rows()).map(row).collect()
}

#[test]
fn blocks_mean_what_the_reference_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/blocks.json");
    let golden: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = 0;
    for block in &golden {
        let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == block["kind"]).unwrap();
        let hex = block["bytes"].as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
        let expect: Vec<f32> =
            block["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        let matrix = matrix(kind, 1, expect.len(), &bytes, Precision::F32);
        let found = weights(&matrix).remove(0);
        for (i, (found, expect)) in found.iter().zip(&expect).enumerate() {
            assert!(
                (found - expect).abs() <= 1e-7 * expect.abs(),
                "{kind:?} {i}: {found}, expected {expect}"
            );
        }
        seen += 1;
    }
    assert_eq!(seen, 10);
}

/// Rows of activations and every product, the slow way.
fn products(weights: &[Vec<f32>], input: &[f32]) -> Vec<f64> {
    let width = weights[0].len();
    let product = |x: &[f32], w: &Vec<f32>| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
    input.chunks(width).flat_map(|x| weights.iter().map(move |w| product(x, w))).collect()
}

/// Sizes that are not multiples of tiles, pairs of tiles, panels, units or what is unpacked at once.
fn sizes(kind: TensorKind) -> Vec<(usize, usize, usize)> {
    let block = kind.block_len();
    let columns: &[usize] = match block {
        1 => &[1, 31, 45, 640],
        32 => &[32, 96, 544],
        _ => &[256, 768],
    };
    let mut sizes = Vec::new();
    for columns in columns {
        for (rows, inputs) in [(1, 1), (16, 2), (37, 3), (50, 5), (33, 7), (70, 13), (300, 17)] {
            sizes.push((rows, *columns, inputs));
        }
    }
    sizes
}

fn check(precision: Precision, tolerance: f64) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for kind in KINDS {
        for (rows, columns, inputs) in sizes(kind) {
            let bytes = random_bytes(kind, rows * columns, &mut random);
            let matrix = matrix(kind, rows, columns, &bytes, precision);
            let weights = weights(&matrix);
            let input: Vec<f32> = (0..inputs * columns).map(|_| random.unit()).collect();
            let expect = products(&weights, &input);
            let scale = weights.iter().map(|w| w.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt());
            let scale = scale.fold(0.0, f64::max).max(1e-9);
            let mut first: Option<Vec<f32>> = None;
            for backend in Backend::available() {
                let activations = Activations::new(&input, columns, precision, backend);
                let mut out = Vec::new();
                matrix.multiply(&activations, backend, &mut out);
                let about = format!("{kind:?} {rows}×{columns}, {inputs} rows, {backend}");
                for (i, (found, expect)) in out.iter().zip(&expect).enumerate() {
                    let error = (f64::from(*found) - expect).abs() / scale;
                    assert!(error < tolerance, "{about}: {i} is {found}, expected {expect}");
                }
                // The backends differ from one another only by the rounding of floats.
                let first = first.get_or_insert_with(|| out.clone());
                for (a, b) in first.iter().zip(&out) {
                    assert!(f64::from((a - b).abs()) / scale < 1e-5, "{about}: {a} and {b}");
                }
            }
        }
    }
}

#[test]
fn f32_products_are_exact_to_rounding() {
    check(Precision::F32, 2e-6);
}

#[test]
fn int8_products_are_near() {
    // Each activation is off by at most 1/254 of the largest in its 32.
    check(Precision::Int8, 0.03);
}

#[test]
fn the_few_row_way_gives_the_same_bits_as_the_other() {
    let mut random = Random(7);
    for kind in [TensorKind::Q5_0, TensorKind::Q4_K, TensorKind::Q6_K, TensorKind::Q8_0, TensorKind::Q3_K] {
        let (rows, columns) = (70, 768);
        let bytes = random_bytes(kind, rows * columns, &mut random);
        let matrix = matrix(kind, rows, columns, &bytes, Precision::Int8);
        let input: Vec<f32> = (0..11 * columns).map(|_| random.unit()).collect();
        for backend in Backend::available() {
            let multiply = |input: &[f32]| {
                let mut out = Vec::new();
                matrix.multiply(
                    &Activations::new(input, columns, Precision::Int8, backend),
                    backend,
                    &mut out,
                );
                out
            };
            let together = multiply(&input);
            for count in [1, 2, 3, 6, 9] {
                let some = multiply(&input[..count * columns]);
                assert_eq!(some, together[..count * rows], "{kind:?} {count} {backend}");
            }
        }
    }
}

#[test]
fn some_outputs_are_those_of_all() {
    let mut random = Random(3);
    let (rows, columns) = (75, 96);
    let bytes = random_bytes(TensorKind::Q8_0, rows * columns, &mut random);
    let input: Vec<f32> = (0..4 * columns).map(|_| random.unit()).collect();
    for precision in [Precision::F32, Precision::Int8] {
        let matrix = matrix(TensorKind::Q8_0, rows, columns, &bytes, precision);
        for backend in Backend::available() {
            let activations = Activations::new(&input, columns, precision, backend);
            let (mut all, mut some) = (Vec::new(), vec![0.0; 4 * 43]);
            matrix.multiply(&activations, backend, &mut all);
            matrix.multiply_some(&matrix.prepare(&activations, backend), 32..75, &mut some, backend);
            for (all, some) in all.chunks(rows).zip(some.chunks(43)) {
                assert_eq!(all[32..], *some);
            }
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let bytes = random_bytes(TensorKind::Q8_0, 32 * 32, &mut Random(5));
    for precision in [Precision::F32, Precision::Int8] {
        let matrix = matrix(TensorKind::Q8_0, 32, 32, &bytes, precision);
        for bad in [f32::NAN, f32::INFINITY] {
            let mut input = [0.5f32; 32];
            input[9] = bad;
            for backend in Backend::available() {
                let mut out = Vec::new();
                matrix.multiply(&Activations::new(&input, 32, precision, backend), backend, &mut out);
                assert!(out.iter().all(|value| !value.is_finite()), "{precision} {backend} {bad}");
            }
        }
    }
}

#[test]
fn packed_weights_take_no_more_room_than_in_the_file() {
    for kind in [
        TensorKind::Q4_0,
        TensorKind::Q5_0,
        TensorKind::Q8_0,
        TensorKind::Q4_K,
        TensorKind::Q5_K,
        TensorKind::Q6_K,
    ] {
        let bytes = random_bytes(kind, 64 * 768, &mut Random(1));
        let packed = matrix(kind, 64, 768, &bytes, Precision::Int8).bytes();
        assert!(packed as f64 <= bytes.len() as f64 * 1.05, "{kind:?}: {packed} of {}", bytes.len());
    }
}
