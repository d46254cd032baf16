//! The stories of `word-problems`: four scenes, each with an opening, sentences for every kind of step, and questions.
//!
//! Places in braces: `owner` and `other` are people, `thing` is what is counted, `a` the number at the start, `v` at
//! the end, `k`, `m` and `d` the numbers of a step. Every sentence for a step names `other`, a different person
//! in each step. No sentence uses a pronoun for a person.

/// Rooms.
pub(super) const PLACES: [&str; 24] = [
    "attic",
    "barn",
    "basement",
    "bedroom",
    "cabin",
    "cellar",
    "chapel",
    "classroom",
    "closet",
    "cottage",
    "garage",
    "greenhouse",
    "hall",
    "hut",
    "kitchen",
    "laundry",
    "loft",
    "office",
    "pantry",
    "parlour",
    "shed",
    "stable",
    "studio",
    "workshop",
];

/// One kind of story.
pub(super) struct Scene {
    /// Says who, where, and how many there are at the start.
    pub opening: &'static str,
    /// The same without the number.
    pub opening_uncounted: &'static str,
    /// `k` come.
    pub add: [&'static str; 2],
    /// `k` go.
    pub sub: [&'static str; 2],
    /// `k` times `m` come.
    pub add_groups: [&'static str; 2],
    /// `k` times `m` go.
    pub sub_groups: [&'static str; 2],
    /// There are `times` as many: "twice" or "three times".
    pub times: &'static str,
    /// Half goes.
    pub half: &'static str,
    /// One of `d` equal parts stays.
    pub share: &'static str,
    /// Asks how many there are now.
    pub now: &'static str,
    /// Says that another has `k` more, and asks how many they have together.
    pub together: &'static str,
    /// Says that there are `v` in the end, and asks how many there were at the start.
    pub start: &'static str,
}

/// All scenes.
pub(super) const SCENES: [Scene; 4] = [COLLECTION, SHOP, WORKSHOP, SCHOOL];

const COLLECTION: Scene = Scene {
    opening: "{owner} lives in {city} and collects {thing}. On {day} morning there are {a} {thing} in the {place}.",
    opening_uncounted: "{owner} lives in {city} and collects {thing}. On {day} morning nobody counts the {thing} \
                        in the {place}.",
    add: [
        "{other} comes by and adds {k} {thing} to the collection.",
        "{owner} gets {k} more {thing} from {other}.",
    ],
    sub: ["{owner} gives {k} {thing} to {other}.", "{other} buys {k} {thing} from {owner}."],
    add_groups: [
        "{owner} buys {k} boxes from {other}, with {m} {thing} in each box.",
        "{k} parcels come from {other}, and each of them holds {m} {thing}.",
    ],
    sub_groups: [
        "{owner} fills {k} bags with {m} {thing} each and gives the bags to {other}.",
        "{k} friends of {other} visit, and each of them is given {m} {thing}.",
    ],
    times: "{other} helps to make the collection {times} as large as it was.",
    half: "{owner} gives half of all the {thing} to {other}.",
    share: "{owner} shares all the {thing} out equally among {d} people, {owner} and {other} among them, and keeps \
            one share.",
    now: "How many {thing} does {owner} have now?",
    together: "{other} has {k} more {thing} than {owner} has now. How many {thing} do {owner} and {other} have \
               together?",
    start: "In the end {owner} has {v} {thing}. How many {thing} were there on {day} morning?",
};

const SHOP: Scene = Scene {
    opening: "{owner} runs a shop in {city} and stores {thing} in the {place}. When the shop opens on {day}, there \
              are {a} {thing} in stock.",
    opening_uncounted: "{owner} runs a shop in {city} and stores {thing} in the {place}. When the shop opens on \
                        {day}, nobody counts the {thing} in stock.",
    add: [
        "{other} brings back {k} {thing}, which go into stock again.",
        "A supplier called {other} delivers {k} more {thing}.",
    ],
    sub: [
        "{other} buys {k} {thing} in the shop.",
        "{k} {thing} in stock are found to be broken, and {other} takes them to the dump.",
    ],
    add_groups: [
        "A supplier called {other} delivers {k} crates with {m} {thing} in each crate.",
        "{other} puts {k} new sets of {m} {thing} each into stock.",
    ],
    sub_groups: [
        "{other} orders {k} sets of {m} {thing} each and takes them along at once.",
        "{k} customers, {other} being one of them, buy {m} {thing} each.",
    ],
    times: "A large delivery by {other} makes the stock {times} as large as it was.",
    half: "{other} buys half of the whole stock.",
    share: "The whole stock is spread evenly over {d} shops, and {other} takes away everything but the part of this \
            shop.",
    now: "How many {thing} are in stock now?",
    together: "{other} runs another shop and has {k} more {thing} in stock than {owner} has now. How many {thing} \
               do both shops have in stock together?",
    start: "In the end there are {v} {thing} in stock. How many {thing} were in stock when the shop opened on \
            {day}?",
};

const WORKSHOP: Scene = Scene {
    opening: "{owner} makes {thing} in {city}. On {day} morning there are {a} finished {thing} in the {place}.",
    opening_uncounted: "{owner} makes {thing} in {city}. On {day} morning nobody counts the finished {thing} in \
                        the {place}.",
    add: ["{other} finishes {k} more {thing}.", "{owner} and {other} finish {k} more {thing} together."],
    sub: [
        "{other} comes and takes {k} finished {thing} away.",
        "{k} finished {thing} fail a test, and {other} scraps them.",
    ],
    add_groups: [
        "For {k} days {owner} and {other} together finish {m} {thing} a day.",
        "{other} brings {k} helpers, and each helper finishes {m} {thing}.",
    ],
    sub_groups: [
        "{k} vans sent by {other} drive off with {m} finished {thing} each.",
        "{other} packs {k} chests with {m} finished {thing} each and sends the chests abroad.",
    ],
    times: "{other} works until there are {times} as many finished {thing} as before.",
    half: "{other} takes half of all the finished {thing} away.",
    share: "The finished {thing} are divided equally among {d} towns, and {other} takes away all but the part of \
            this town.",
    now: "How many finished {thing} are there now?",
    together: "{other} has {k} more finished {thing} than {owner} has now. How many finished {thing} do {owner} and \
               {other} have together?",
    start: "In the end there are {v} finished {thing}. How many finished {thing} were there on {day} morning?",
};

const SCHOOL: Scene = Scene {
    opening: "A school in {city} keeps {thing} in the {place}. {owner} looks after the {thing} and counts {a} of \
              them on {day} morning.",
    opening_uncounted: "A school in {city} keeps {thing} in the {place}. {owner} looks after the {thing} but does \
                        not count them on {day} morning.",
    add: [
        "{other} donates {k} more {thing}.",
        "{other} finds {k} forgotten {thing} and puts them with the others.",
    ],
    sub: [
        "{other} takes {k} {thing} to another school for good.",
        "{k} {thing} wear out, and {other} throws them away.",
    ],
    add_groups: [
        "{other} brings {k} cartons with {m} new {thing} in each carton.",
        "{k} families led by {other} give the school {m} {thing} each.",
    ],
    sub_groups: [
        "{other} sends {k} packages with {m} {thing} each to other schools.",
        "{k} pupils taught by {other} leave the school and may keep {m} {thing} each.",
    ],
    times: "A gift by {other} makes the number of {thing} {times} as large as it was.",
    half: "{other} moves half of all the {thing} to another school.",
    share: "The {thing} are split equally between {d} schools, and {other} takes away what this school does not \
            keep.",
    now: "How many {thing} does the school have now?",
    together: "Another school, where {other} works, has {k} more {thing} than this school has now. How many {thing} \
               do the two schools have together?",
    start: "In the end the school has {v} {thing}. How many {thing} did the school have on {day} morning?",
};

/// Sentences with a number `n` that the answer does not need.
pub(super) const UNNEEDED: [&str; 5] = [
    "{other} is {n} years old.",
    "The way to the {room} takes {n} minutes.",
    "The house next door has {n} windows.",
    "It is {n} kilometres to the next town.",
    "At home {other} has {n} {second}.",
];
