//! A small part of Python: its syntax tree, how it is written, and what it does.
//!
//! Only whole numbers and lists of them; `//` and `%` always have a positive constant on the right, where Python's
//! rounding down is [`i64::div_euclid`] and [`i64::rem_euclid`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Names are fixed words of the generator.
pub(super) type Name = &'static str;

/// An operator on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    FloorDiv,
    Mod,
}

impl Op {
    fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::FloorDiv => "//",
            Self::Mod => "%",
        }
    }

    fn binds_tightly(self) -> bool {
        !matches!(self, Self::Add | Self::Sub)
    }

    fn apply(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::FloorDiv => (b > 0).then(|| a.div_euclid(b)),
            Self::Mod => (b > 0).then(|| a.rem_euclid(b)),
        }
    }
}

/// Something with a value.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Num(i64),
    Var(Name),
    Bin(Op, Box<Self>, Box<Self>),
    /// An element of a list.
    At(Name, Box<Self>),
    /// A call of the program's function with two arguments.
    Call(Name, Box<Self>, Box<Self>),
}

/// Short ways to write expressions.
impl Expr {
    pub(super) fn op(self, op: Op, right: impl Into<Self>) -> Self {
        Self::Bin(op, Box::new(self), Box::new(right.into()))
    }

    pub(super) fn plus(self, right: impl Into<Self>) -> Self {
        self.op(Op::Add, right)
    }

    pub(super) fn times(self, right: impl Into<Self>) -> Self {
        self.op(Op::Mul, right)
    }

    pub(super) fn modulo(self, right: i64) -> Self {
        self.op(Op::Mod, right)
    }

    fn write(&self, text: &mut String) {
        // Writing to a string cannot fail.
        let _ = match self {
            Self::Num(value) => write!(text, "{value}"),
            Self::Var(name) => write!(text, "{name}"),
            Self::At(list, at) => write!(text, "{list}[{}]", at.text()),
            Self::Call(name, a, b) => write!(text, "{name}({}, {})", a.text(), b.text()),
            Self::Bin(op, a, b) => {
                let (a, b) = (a.operand(*op, false), b.operand(*op, true));
                write!(text, "{a} {} {b}", op.symbol())
            }
        };
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// As an operand: in parentheses where they are needed, and where two of `*`, `//`, `%` meet.
    fn operand(&self, of: Op, right: bool) -> String {
        match self {
            Self::Bin(op, ..) if right || of.binds_tightly() && !(op.binds_tightly() && of == *op) => {
                if right && op.binds_tightly() && !of.binds_tightly() {
                    self.text()
                } else {
                    format!("({})", self.text())
                }
            }
            _ => self.text(),
        }
    }
}

impl From<i64> for Expr {
    fn from(value: i64) -> Self {
        Self::Num(value)
    }
}

impl From<Name> for Expr {
    fn from(name: Name) -> Self {
        Self::Var(name)
    }
}

/// A comparison.
#[derive(Clone, Debug)]
pub(super) struct Cond(pub Expr, pub Cmp, pub Expr);

/// A comparison's operator.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cmp {
    Less,
    Greater,
    Equal,
}

impl Cond {
    fn text(&self) -> String {
        let symbol = match self.1 {
            Cmp::Less => "<",
            Cmp::Greater => ">",
            Cmp::Equal => "==",
        };
        format!("{} {symbol} {}", self.0.text(), self.2.text())
    }
}

/// One statement.
#[derive(Clone, Debug)]
pub(super) enum Stmt {
    Set(Name, Expr),
    /// `name += value`
    Increase(Name, Expr),
    List(Name, Vec<i64>),
    SetAt(Name, Expr, Expr),
    If(Cond, Vec<Self>, Vec<Self>),
    /// `for name in range(from, to)`
    Range(Name, i64, i64, Vec<Self>),
    /// `for name in list`
    Each(Name, Name, Vec<Self>),
    While(Cond, Vec<Self>),
    /// A function of two parameters: its name, they, its body and what it returns.
    Def(Name, [Name; 2], Vec<Self>, Expr),
    Print(Expr),
}

/// A program as its source text.
pub(super) fn source(program: &[Stmt]) -> String {
    let mut text = String::new();
    write_block(program, 0, &mut text);
    text
}

fn write_block(block: &[Stmt], depth: usize, text: &mut String) {
    for stmt in block {
        let mut line = |content: String| {
            text.push_str(&"    ".repeat(depth));
            text.push_str(&content);
            text.push('\n');
        };
        match stmt {
            Stmt::Set(name, value) => line(format!("{name} = {}", value.text())),
            Stmt::Increase(name, value) => line(format!("{name} += {}", value.text())),
            Stmt::List(name, values) => {
                let values: Vec<String> = values.iter().map(i64::to_string).collect();
                line(format!("{name} = [{}]", values.join(", ")));
            }
            Stmt::SetAt(name, at, value) => line(format!("{name}[{}] = {}", at.text(), value.text())),
            Stmt::If(cond, yes, no) => {
                line(format!("if {}:", cond.text()));
                write_block(yes, depth + 1, text);
                if !no.is_empty() {
                    text.push_str(&"    ".repeat(depth));
                    text.push_str("else:\n");
                    write_block(no, depth + 1, text);
                }
            }
            Stmt::Range(name, from, to, body) => {
                line(format!("for {name} in range({from}, {to}):"));
                write_block(body, depth + 1, text);
            }
            Stmt::Each(name, list, body) => {
                line(format!("for {name} in {list}:"));
                write_block(body, depth + 1, text);
            }
            Stmt::While(cond, body) => {
                line(format!("while {}:", cond.text()));
                write_block(body, depth + 1, text);
            }
            Stmt::Def(name, [a, b], body, result) => {
                line(format!("def {name}({a}, {b}):"));
                write_block(body, depth + 1, text);
                text.push_str(&"    ".repeat(depth + 1));
                text.push_str(&format!("return {}\n\n", result.text()));
            }
            Stmt::Print(value) => line(format!("print({})", value.text())),
        }
    }
}

/// What a program prints and how many statements it carried out; `None` when it fails, prints nothing, or does
/// more than is asked of anyone.
pub(super) fn run(program: &[Stmt]) -> Option<(i64, u32)> {
    let mut machine = Machine { steps: 0, printed: None, functions: BTreeMap::new(), lists: BTreeMap::new() };
    machine.block(program, &mut BTreeMap::new())?;
    machine.printed.map(|printed| (printed, machine.steps))
}

/// Most statements that a program may carry out.
const MOST_STEPS: u32 = 2_000;

/// Largest value that may occur.
const LARGEST: i64 = 1_000_000;

type Vars = BTreeMap<Name, i64>;

struct Machine<'a> {
    steps: u32,
    printed: Option<i64>,
    functions: BTreeMap<Name, (&'a [Name; 2], &'a [Stmt], &'a Expr)>,
    lists: BTreeMap<Name, Vec<i64>>,
}

impl<'a> Machine<'a> {
    fn block(&mut self, block: &'a [Stmt], vars: &mut Vars) -> Option<()> {
        block.iter().try_for_each(|stmt| {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
            self.stmt(stmt, vars)
        })
    }

    fn stmt(&mut self, stmt: &'a Stmt, vars: &mut Vars) -> Option<()> {
        match stmt {
            Stmt::Set(name, value) => {
                let value = self.value(value, vars)?;
                vars.insert(name, value);
            }
            Stmt::Increase(name, value) => {
                let value = vars.get(name)?.checked_add(self.value(value, vars)?)?;
                vars.insert(name, value);
            }
            Stmt::List(name, values) => {
                self.lists.insert(name, values.clone());
            }
            Stmt::SetAt(name, at, value) => {
                let (at, value) = (self.value(at, vars)?, self.value(value, vars)?);
                *self.lists.get_mut(name)?.get_mut(usize::try_from(at).ok()?)? = value;
            }
            Stmt::If(cond, yes, no) => {
                let branch = if self.holds(cond, vars)? { yes } else { no };
                self.block(branch, vars)?;
            }
            Stmt::Range(name, from, to, body) => {
                for value in *from..*to {
                    vars.insert(name, value);
                    self.block(body, vars)?;
                }
            }
            Stmt::Each(name, list, body) => {
                for value in self.lists.get(list)?.clone() {
                    vars.insert(name, value);
                    self.block(body, vars)?;
                }
            }
            Stmt::While(cond, body) => {
                while self.holds(cond, vars)? {
                    self.block(body, vars)?;
                }
            }
            Stmt::Def(name, params, body, result) => {
                self.functions.insert(name, (params, body, result));
            }
            Stmt::Print(value) => self.printed = Some(self.value(value, vars)?),
        }
        Some(())
    }

    fn holds(&mut self, Cond(left, cmp, right): &'a Cond, vars: &Vars) -> Option<bool> {
        let (left, right) = (self.value(left, vars)?, self.value(right, vars)?);
        Some(match cmp {
            Cmp::Less => left < right,
            Cmp::Greater => left > right,
            Cmp::Equal => left == right,
        })
    }

    fn value(&mut self, expr: &'a Expr, vars: &Vars) -> Option<i64> {
        let value = match expr {
            Expr::Num(value) => *value,
            Expr::Var(name) => *vars.get(name)?,
            Expr::Bin(op, a, b) => op.apply(self.value(a, vars)?, self.value(b, vars)?)?,
            Expr::At(list, at) => {
                let at = usize::try_from(self.value(at, vars)?).ok()?;
                *self.lists.get(list)?.get(at)?
            }
            Expr::Call(name, a, b) => {
                let (params, body, result) = *self.functions.get(name)?;
                let mut local =
                    Vars::from([(params[0], self.value(a, vars)?), (params[1], self.value(b, vars)?)]);
                self.block(body, &mut local)?;
                self.value(result, &local)?
            }
        };
        (value.abs() <= LARGEST).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parentheses_stand_where_python_needs_them() {
        let v = |name| Expr::Var(name);
        assert_eq!(v("a").plus(2).times(3).text(), "(a + 2) * 3");
        assert_eq!(v("a").times(2).plus(3).text(), "a * 2 + 3");
        assert_eq!(v("a").op(Op::Sub, v("b").plus(3)).text(), "a - (b + 3)");
        assert_eq!(v("a").plus(v("b").times(3)).text(), "a + b * 3");
        assert_eq!(v("a").times(2).modulo(7).text(), "(a * 2) % 7");
        assert_eq!(v("a").plus(2).plus(3).text(), "a + 2 + 3");
    }

    #[test]
    fn division_rounds_down_as_in_python() {
        let program = [
            Stmt::Set("a", Expr::Num(3).op(Op::Sub, 10)),
            Stmt::Print(Expr::from("a").op(Op::FloorDiv, 2).times(100).plus(Expr::from("a").modulo(5))),
        ];
        // -7 // 2 = -4 and -7 % 5 = 3.
        assert_eq!(run(&program), Some((-397, 2)));
    }

    #[test]
    fn what_does_not_end_or_fails_is_nothing() {
        let forever = [
            Stmt::Set("a", Expr::Num(1)),
            Stmt::While(Cond("a".into(), Cmp::Greater, 0.into()), vec![Stmt::Set("a", 1.into())]),
        ];
        assert_eq!(run(&forever), None);
        assert_eq!(run(&[Stmt::Print("missing".into())]), None);
        assert_eq!(run(&[]), None);
    }
}
