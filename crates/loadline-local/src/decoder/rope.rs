//! Rotary position embedding (Su et al. 2021, <https://arxiv.org/abs/2104.09864>).

/// How positions beyond those trained on are squeezed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RopeScaling {
    /// Not at all, or by a factor for each frequency that the file has as a tensor (Llama 3).
    None,
    /// Every angle is divided by this.
    Linear(f64),
}

/// Angles per position for each pair of values.
#[derive(Debug)]
pub(super) struct Rope {
    frequencies: Vec<f64>,
    interleaved: bool,
}

/// Cosine and sine of the angles, per row and pair.
pub(super) struct Angles {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rope {
    /// Pair `i` of `rotary / 2` turns by `base^(−2i/rotary)` per position, divided by its factor where there is one.
    pub fn new(
        rotary: usize,
        base: f64,
        scaling: RopeScaling,
        factors: Option<&[f32]>,
        interleaved: bool,
    ) -> Self {
        let squeeze = match scaling {
            RopeScaling::None => 1.0,
            RopeScaling::Linear(factor) => factor,
        };
        let frequency = |i: usize| {
            let factor = factors.and_then(|factors| factors.get(i)).map_or(1.0, |factor| f64::from(*factor));
            base.powf(-2.0 * i as f64 / rotary as f64) / factor / squeeze
        };
        Self { frequencies: (0..rotary / 2).map(frequency).collect(), interleaved }
    }

    /// The angles of some positions. Rows that follow one another are turned on from the row before, which takes
    /// no sine.
    pub fn angles(&self, positions: &[u32]) -> Angles {
        let pairs = self.frequencies.len();
        let mut cosines = Vec::with_capacity(positions.len() * pairs);
        let mut sines = Vec::with_capacity(positions.len() * pairs);
        let steps: Vec<(f64, f64)> = self.frequencies.iter().map(|f| f.sin_cos()).collect();
        let mut current = vec![(0.0f64, 1.0f64); pairs];
        for (row, position) in positions.iter().enumerate() {
            // Every so often from the start, so that rounding does not add up.
            let follows = row % 256 != 0 && positions[row - 1].checked_add(1) == Some(*position);
            for ((angle, step), frequency) in current.iter_mut().zip(&steps).zip(&self.frequencies) {
                *angle = if follows {
                    (angle.0 * step.1 + angle.1 * step.0, angle.1 * step.1 - angle.0 * step.0)
                } else {
                    (f64::from(*position) * frequency).sin_cos()
                };
                sines.push(angle.0 as f32);
                cosines.push(angle.1 as f32);
            }
        }
        Angles { pairs, cosines, sines }
    }

    /// Turns the heads of one row.
    pub fn rotate(&self, heads: &mut [f32], head_width: usize, angles: &Angles, row: usize) {
        let at = row * angles.pairs..(row + 1) * angles.pairs;
        let (cosines, sines) = (&angles.cosines[at.clone()], &angles.sines[at]);
        let turn = |x: &mut f32, y: &mut f32, i: usize| {
            (*x, *y) = (*x * cosines[i] - *y * sines[i], *x * sines[i] + *y * cosines[i]);
        };
        for head in heads.chunks_exact_mut(head_width) {
            if self.interleaved {
                for (i, pair) in head.chunks_exact_mut(2).enumerate().take(angles.pairs) {
                    let (x, y) = pair.split_at_mut(1);
                    turn(&mut x[0], &mut y[0], i);
                }
            } else {
                let (first, second) = head.split_at_mut(angles.pairs);
                for (i, (x, y)) in first.iter_mut().zip(second).enumerate() {
                    turn(x, y, i);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotated(rope: &Rope, position: u32, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        let width = values.len();
        rope.rotate(&mut values, width, &rope.angles(&[position]), 0);
        values
    }

    #[test]
    fn pairs_turn_by_their_frequency() {
        let rope = Rope::new(4, 100.0, RopeScaling::None, None, false);
        let turned = rotated(&rope, 3, &[1.0, 1.0, 0.0, 0.0, 7.0, 8.0]);
        let expect = [3.0f32.cos(), 0.3f32.cos(), 3.0f32.sin(), 0.3f32.sin(), 7.0, 8.0];
        assert!(turned.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-6), "{turned:?}");
        let rope = Rope::new(4, 100.0, RopeScaling::None, None, true);
        let turned = rotated(&rope, 3, &[1.0, 0.0, 1.0, 0.0]);
        let expect = [3.0f32.cos(), 3.0f32.sin(), 0.3f32.cos(), 0.3f32.sin()];
        assert!(turned.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-6), "{turned:?}");
    }

    #[test]
    fn scaling_divides_angles() {
        let plain = Rope::new(4, 100.0, RopeScaling::None, None, false);
        let linear = Rope::new(4, 100.0, RopeScaling::Linear(4.0), None, false);
        let factors = Rope::new(4, 100.0, RopeScaling::None, Some(&[4.0, 4.0]), false);
        let values = [0.3, -0.5, 0.7, 0.9];
        assert_eq!(rotated(&linear, 8, &values), rotated(&plain, 2, &values));
        assert_eq!(rotated(&factors, 8, &values), rotated(&plain, 2, &values));
    }

    #[test]
    fn turning_on_from_row_to_row_is_the_same_as_from_the_start() {
        let rope = Rope::new(64, 10_000.0, RopeScaling::None, None, false);
        let positions: Vec<u32> = (30_000..30_700).collect();
        let together = rope.angles(&positions);
        for (row, position) in positions.iter().enumerate().step_by(37) {
            let alone = rope.angles(&[*position]);
            for i in 0..32 {
                assert!((together.cosines[row * 32 + i] - alone.cosines[i]).abs() < 1e-6);
            }
        }
    }
}
