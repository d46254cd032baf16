//! Which few-shot examples stand before a question.
//!
//! The choice is lm_eval's, draw for draw, with one exception: where lm_eval would show a question together with
//! its own answer (the examples come from the rows that are asked, and the task names the split in a way it does
//! not notice), the examples of that question are drawn anew from the other rows.

use minijinja::Value;

use super::config::Sampler;
use super::prompt::Doc;
use crate::python::random::Random;

/// The rows that examples are chosen from.
pub struct Pool {
    /// The rows.
    pub docs: Vec<Doc>,
    /// How they are chosen.
    pub sampler: Sampler,
    /// How many.
    pub count: u32,
    /// How the row that is asked is kept out.
    pub overlap: Overlap,
}

/// How the row that is asked is kept out of its own examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The examples come from rows that are not asked.
    None,
    /// lm_eval draws one more and leaves it out.
    DrawOneMore,
    /// lm_eval does not notice; it is drawn anew.
    Unnoticed,
}

/// Chooses the examples of one row after the other.
pub struct Draw<'p> {
    pool: &'p Pool,
    random: Random,
}

impl Pool {
    /// How many rows the pool must have.
    pub fn needed(&self) -> u32 {
        self.count + u32::from(self.sampler == Sampler::Random && self.overlap == Overlap::DrawOneMore)
    }

    /// Starts choosing, for the first row.
    pub fn draw(&self, seed: u64) -> Draw<'_> {
        Draw { pool: self, random: Random::new(seed) }
    }

    fn size(&self) -> u32 {
        u32::try_from(self.docs.len()).unwrap_or(u32::MAX)
    }
}

impl<'p> Draw<'p> {
    /// The examples for the next row; `None` when the pool has too few that are not the row itself.
    pub fn next(&mut self, asked: &Value) -> Option<Vec<&'p Doc>> {
        match self.pool.sampler {
            Sampler::FirstN => self.first(asked),
            Sampler::Random => self.random(asked),
        }
    }

    fn first(&self, asked: &Value) -> Option<Vec<&'p Doc>> {
        let other = |doc: &&Doc| self.pool.overlap == Overlap::None || doc.value != *asked;
        let count = self.pool.count as usize;
        let picked: Vec<&Doc> = self.pool.docs.iter().filter(other).take(count).collect();
        (picked.len() == count).then_some(picked)
    }

    fn random(&mut self, asked: &Value) -> Option<Vec<&'p Doc>> {
        let (pool, count) = (self.pool, self.pool.count);
        let docs = |picked: Vec<u32>| picked.into_iter().map(|i| &pool.docs[i as usize]).collect::<Vec<_>>();
        match pool.overlap {
            Overlap::None => self.random.sample(pool.size(), count).map(docs),
            Overlap::DrawOneMore => {
                let mut picked = docs(self.random.sample(pool.size(), count + 1)?);
                picked.retain(|doc| doc.value != *asked);
                picked.truncate(count as usize);
                if picked.len() == count as usize {
                    return Some(picked);
                }
                others(pool, asked, &mut self.random)
            }
            Overlap::Unnoticed => {
                let picked = docs(self.random.sample(pool.size(), count)?);
                if picked.iter().all(|doc| doc.value != *asked) {
                    return Some(picked);
                }
                // From a copy, so that the rows after this one get the examples that lm_eval gives them.
                others(pool, asked, &mut self.random.clone())
            }
        }
    }
}

fn others<'p>(pool: &'p Pool, asked: &Value, random: &mut Random) -> Option<Vec<&'p Doc>> {
    let others: Vec<&Doc> = pool.docs.iter().filter(|doc| doc.value != *asked).collect();
    let size = u32::try_from(others.len()).unwrap_or(u32::MAX);
    Some(random.sample(size, pool.count)?.into_iter().map(|i| others[i as usize]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(values: &[i64], sampler: Sampler, count: u32, overlap: Overlap) -> Pool {
        let doc = |v: &i64| Doc { value: Value::from(*v), name: "x".into(), place: "y".into() };
        Pool { docs: values.iter().map(doc).collect(), sampler, count, overlap }
    }

    fn values(picked: Option<Vec<&Doc>>) -> Vec<i64> {
        picked.unwrap().into_iter().map(|d| d.value.as_i64().unwrap()).collect()
    }

    #[test]
    fn a_row_is_never_its_own_example() {
        let rows: Vec<i64> = (0..6).collect();
        for overlap in [Overlap::DrawOneMore, Overlap::Unnoticed] {
            for sampler in [Sampler::Random, Sampler::FirstN] {
                let pool = pool(&rows, sampler, 5, overlap);
                let mut draw = pool.draw(1234);
                for asked in &rows {
                    let picked = values(draw.next(&Value::from(*asked)));
                    assert!(
                        picked.len() == 5 && !picked.contains(asked),
                        "{overlap:?} {sampler:?} {picked:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn rows_without_an_overlap_are_drawn_alike() {
        let rows: Vec<i64> = (0..50).collect();
        let (plain, careful) = (
            pool(&rows, Sampler::Random, 3, Overlap::None),
            pool(&rows, Sampler::Random, 3, Overlap::Unnoticed),
        );
        let (mut plain, mut careful) = (plain.draw(7), careful.draw(7));
        for asked in &rows {
            let asked = Value::from(*asked);
            let (a, b) = (values(plain.next(&asked)), values(careful.next(&asked)));
            assert!(a == b || a.contains(&asked.as_i64().unwrap()));
        }
    }

    #[test]
    fn copies_of_the_row_are_left_out_too() {
        let pool = pool(&[1, 1, 1, 2, 3], Sampler::Random, 2, Overlap::DrawOneMore);
        for seed in 0..20 {
            let mut picked = values(pool.draw(seed).next(&Value::from(1)));
            picked.sort_unstable();
            assert_eq!(picked, [2, 3]);
        }
    }
}
