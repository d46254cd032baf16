//! What islanders say, when it is true, and how it is put into words.

use crate::stream::Stream;

/// What everybody is: bit `i` is set when person `i` is a knight.
pub(super) type World = u32;

/// Whether a person is a knight in a world.
pub(super) fn is_knight(world: World, person: u32) -> bool {
    world >> person & 1 == 1
}

/// Something that can be true or false of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// A person is a knight (or a knave).
    Is(u32, bool),
    /// Two people are of the same kind (or of different kinds).
    Alike(u32, u32, bool),
    /// Both.
    And(Box<Self>, Box<Self>),
    /// One or both.
    Or(Box<Self>, Box<Self>),
    /// Exactly one.
    Either(Box<Self>, Box<Self>),
    /// The first implies the second.
    If(Box<Self>, Box<Self>),
    /// Exactly so many of all are knights (or knaves).
    Exactly(u32, bool),
    /// At least so many of all are knights (or knaves).
    AtLeast(u32, bool),
}

impl Claim {
    /// Whether it is true in a world of `people` islanders.
    pub(super) fn holds(&self, world: World, people: u32) -> bool {
        let count = |knights: bool| if knights { world.count_ones() } else { people - world.count_ones() };
        match self {
            Self::Is(person, knight) => is_knight(world, *person) == *knight,
            Self::Alike(a, b, alike) => (is_knight(world, *a) == is_knight(world, *b)) == *alike,
            Self::And(p, q) => p.holds(world, people) && q.holds(world, people),
            Self::Or(p, q) => p.holds(world, people) || q.holds(world, people),
            Self::Either(p, q) => p.holds(world, people) != q.holds(world, people),
            Self::If(p, q) => !p.holds(world, people) || q.holds(world, people),
            Self::Exactly(k, knights) => count(*knights) == *k,
            Self::AtLeast(k, knights) => count(*knights) >= *k,
        }
    }

    /// A claim that `speaker` might make at this level.
    pub(super) fn draw(stream: &mut Stream, level: u32, speaker: u32, people: u32) -> Self {
        let kinds = match level {
            1 => 2,
            2 => 4,
            3 => 6,
            _ => 8,
        };
        // Plain claims are rarer where there are others.
        let kind =
            if level >= 3 && stream.one_in(3, 4) { 2 + stream.below(kinds - 2) } else { stream.below(kinds) };
        let mut pair = || {
            let mut others: Vec<u32> = (0..people).collect();
            stream.shuffle(&mut others);
            let first = Self::about(stream, others[0], speaker);
            let second = Self::about(stream, others[1], speaker);
            (Box::new(first), Box::new(second))
        };
        match kind {
            2 => build(pair(), Self::And),
            3 => build(pair(), Self::Or),
            4 => build(pair(), Self::Either),
            5 => build(pair(), Self::If),
            1 => {
                let mut others: Vec<u32> = (0..people).collect();
                stream.shuffle(&mut others);
                Self::Alike(others[0], others[1], stream.one_in(1, 2))
            }
            6 => Self::Exactly(stream.index_u32(people - 1) + 1, stream.one_in(1, 2)),
            7 => Self::AtLeast(stream.index_u32(people - 2) + 2, stream.one_in(1, 2)),
            _ => {
                let other = (speaker + 1 + stream.index_u32(people - 1)) % people;
                Self::Is(other, stream.one_in(1, 2))
            }
        }
    }

    /// That a person is a knight or a knave; a speaker says of itself only that it is a knave.
    fn about(stream: &mut Stream, person: u32, speaker: u32) -> Self {
        Self::Is(person, person != speaker && stream.one_in(1, 2))
    }

    /// In the words of `speaker`. `call` names a person that is not the speaker.
    pub(super) fn words(&self, speaker: u32, call: &mut dyn FnMut(u32) -> String) -> String {
        let kind = |knight: bool| if knight { "knight" } else { "knave" };
        let of_us = |k: u32, knight: bool| match k {
            1 => format!("one of us is a {}", kind(knight)),
            _ => {
                format!("{} of us are {}s", NUMBERS.get(k as usize).copied().unwrap_or("many"), kind(knight))
            }
        };
        match self {
            Self::Is(person, knight) if *person == speaker => format!("I am a {}", kind(*knight)),
            Self::Is(person, knight) => format!("{} is a {}", call(*person), kind(*knight)),
            Self::Alike(a, b, alike) => {
                let (a, b) = if *a == speaker { (b, a) } else { (a, b) };
                let first = call(*a);
                let second = if *b == speaker { "I".to_owned() } else { call(*b) };
                format!(
                    "{first} and {second} are of {}",
                    if *alike { "the same kind" } else { "different kinds" }
                )
            }
            Self::And(p, q) => format!("{} and {}", p.words(speaker, call), q.words(speaker, call)),
            Self::Or(p, q) => format!("{} or {}, or both", p.words(speaker, call), q.words(speaker, call)),
            Self::Either(p, q) => {
                format!("either {} or {}, but not both", p.words(speaker, call), q.words(speaker, call))
            }
            Self::If(p, q) => format!("if {}, then {}", p.words(speaker, call), q.words(speaker, call)),
            Self::Exactly(k, knights) => format!("exactly {}", of_us(*k, *knights)),
            Self::AtLeast(k, knights) => format!("at least {}", of_us(*k, *knights)),
        }
    }
}

/// Puts two claims together.
fn build((p, q): (Box<Claim>, Box<Claim>), with: fn(Box<Claim>, Box<Claim>) -> Claim) -> Claim {
    with(p, q)
}

/// Numbers in words.
const NUMBERS: [&str; 9] = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight"];

/// The worlds in which every knight's claim is true and every knave's is false.
pub(super) fn solutions(claims: &[Claim]) -> Vec<World> {
    let people = u32::try_from(claims.len()).unwrap_or(u32::MAX).min(16);
    (0..1_u32 << people)
        .filter(|world| {
            (0..people).zip(claims).all(|(p, claim)| claim.holds(*world, people) == is_knight(*world, p))
        })
        .collect()
}
