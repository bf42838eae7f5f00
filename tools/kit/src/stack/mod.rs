//! How much of the kernel's stack a driver takes: the deepest chain of its functions from each of its entries.
//!
//! A thread of the kernel has 24 KB of stack (<https://learn.microsoft.com/windows-hardware/drivers/kernel/using-the-kernel-stack>),
//! which everyone in it shares: the system call, the I/O manager, the filters above, the framework, an interrupt on top.
//! What is too deep shows on a busy day at a customer's, as a double fault. So it is computed, from the image:
//!
//! - a function's frame from its unwind data ([`unwind`]), and what it pushes besides;
//! - whom it calls from its machine code ([`code`]). A call through a pointer goes where the code says, if it does: to an
//!   import, into the framework's table. Otherwise it can go to every function whose address is taken, by the image's
//!   Control Flow Guard table;
//! - routines of Windows and of the framework count nothing, and call nothing back but what [`Assumptions`] names;
//! - a circle of calls is an error, unless [`Assumptions`] says how often it is gone round.

mod code;
mod image;
mod unwind;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

use petgraph::{algo::tarjan_scc, graphmap::DiGraphMap};

use crate::Error;

use self::{
    code::Target,
    image::{Function, Image},
};

/// Bytes that a driver may take of the kernel's stack: half of it.
pub const LIMIT: u32 = 12 * 1024;

/// Whether the function of that name is one that a pointer can be of.
pub type Possible = fn(&str) -> bool;

/// What the image does not say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Assumptions<'a> {
    /// Routines of Windows or of the framework that call a function of the driver before they return, on the caller's
    /// stack: the routine, the function.
    pub callbacks: &'a [(&'a str, &'a str)],
    /// What the names of functions begin with whose calls through pointers go to certain functions only, and whether a
    /// function is one of those.
    pub pointers: &'a [(&'a str, Possible)],
    /// Circles that end: what the names of all their functions begin with, or of those without which there is no circle,
    /// and how often they are gone round.
    pub circles: &'a [(&'a str, u32)],
}

/// The deepest chain of calls from an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The functions, the entry first, each with the bytes of its frame.
    pub steps: Vec<(String, u32)>,
}

impl Chain {
    /// Bytes of stack that it takes.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.steps.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.bytes())?;
        for (name, bytes) in &self.steps {
            write!(f, "\n  {bytes:6} {name}")?;
        }
        Ok(())
    }
}

/// The deepest chain from each entry of `sys`, the deepest first. Entries are the image's own, its exports, and each
/// function whose address is taken.
///
/// # Errors
///
/// If a file cannot be read, or the code goes round in a circle that is not assumed, or does what cannot be followed.
pub fn chains(sys: &Path, pdb: &Path, assumptions: &Assumptions<'_>) -> Result<Vec<Chain>, Error> {
    let image = fs::read(sys).map_err(Error::file("read", sys))?;
    let symbols = fs::read(pdb).map_err(Error::file("read", pdb))?;
    chains_of(&image, &symbols, assumptions).map_err(|what| Error::new(format!("{}: {what}", sys.display())))
}

/// As [`chains`], on the files' contents.
///
/// # Errors
///
/// As [`chains`].
pub fn chains_of(image: &[u8], symbols: &[u8], assumptions: &Assumptions<'_>) -> Result<Vec<Chain>, String> {
    let image = Image::read(image, symbols)?;
    let graph = Graph::new(&image, assumptions)?;
    let deepest = graph.deepest()?;
    let mut chains: Vec<Chain> = image
        .entries
        .iter()
        .map(|&entry| chain(entry, &deepest))
        .collect();
    chains.sort_by_key(|chain| Reverse(chain.bytes()));
    Ok(chains)
}

/// The names of the functions that call the one called `name`, if there is one.
///
/// # Errors
///
/// If a file cannot be read, or has what cannot be followed.
pub fn callers(sys: &Path, pdb: &Path, name: &str) -> Result<Vec<String>, Error> {
    let image = fs::read(sys).map_err(Error::file("read", sys))?;
    let symbols = fs::read(pdb).map_err(Error::file("read", pdb))?;
    let image =
        Image::read(&image, &symbols).map_err(|what| Error::new(format!("{}: {what}", sys.display())))?;
    let Ok(called) = image.named(name) else {
        return Ok(Vec::new());
    };
    let callers = image.functions.values().filter(|function| {
        let behaviour = &function.behaviour;
        behaviour.calls.contains(&Target::At(called)) || behaviour.jumps.contains(&Target::At(called))
    });
    Ok(callers.map(|function| function.name.clone()).collect())
}

/// Who calls whom, by the functions' addresses.
struct Graph<'a> {
    nodes: BTreeMap<u32, Node<'a>>,
    assumptions: &'a Assumptions<'a>,
}

struct Node<'a> {
    name: &'a str,
    /// Bytes of the frame.
    bytes: u32,
    /// Called on top of the frame.
    calls: BTreeSet<u32>,
    /// Entered in place of the frame.
    jumps: BTreeSet<u32>,
    /// An instruction by which it calls through a pointer of unknown value.
    pointer: Option<u32>,
}

impl<'a> Graph<'a> {
    fn new(image: &'a Image, assumptions: &'a Assumptions<'a>) -> Result<Self, String> {
        for (_, callback) in assumptions.callbacks {
            image.named(callback)?;
        }
        let mut nodes = BTreeMap::new();
        for (&begin, function) in &image.functions {
            let resolved = |targets: &BTreeSet<Target>| -> Result<BTreeSet<u32>, String> {
                let mut all = BTreeSet::new();
                for &target in targets {
                    all.extend(goes_to(image, assumptions, function, target)?);
                }
                Ok(all)
            };
            let mut jumps = resolved(&function.behaviour.jumps)?;
            // Back into a frame that is there is no way down.
            jumps.retain(|to| image.functions[to].whole != function.whole);
            jumps.extend(&function.parts);
            let node = Node {
                name: &function.name,
                bytes: function.frame + function.behaviour.extra,
                calls: resolved(&function.behaviour.calls)?,
                jumps,
                pointer: function
                    .behaviour
                    .calls
                    .iter()
                    .chain(&function.behaviour.jumps)
                    .find_map(|target| match target {
                        Target::Unknown(at) => Some(*at),
                        _ => None,
                    }),
            };
            nodes.insert(begin, node);
        }
        Ok(Self { nodes, assumptions })
    }

    /// How deep it goes from each function on.
    fn deepest(&self) -> Result<BTreeMap<u32, Depth>, String> {
        let mut deepest = BTreeMap::new();
        // A component comes after all that it calls.
        for component in self.components() {
            match component[..] {
                [address] if !self.nodes[&address].calls.contains(&address) => {
                    let depth = self.depth(address, &deepest);
                    deepest.insert(address, depth);
                }
                _ => deepest.extend(self.depths_of_circle(&component, &deepest)?),
            }
        }
        Ok(deepest)
    }

    /// How deep it goes from a function on that is in no circle.
    fn depth(&self, address: u32, deepest: &BTreeMap<u32, Depth>) -> Depth {
        let node = &self.nodes[&address];
        let alone = (node.bytes, None);
        let calls = node.calls.iter().map(|to| (node.bytes, Some(*to)));
        let jumps = node.jumps.iter().map(|to| (0, Some(*to)));
        let depths = std::iter::once(alone)
            .chain(calls)
            .chain(jumps)
            .map(|(own, next)| Depth {
                bytes: own + next.map_or(0, |to| deepest[&to].bytes),
                own,
                name: node.name.to_owned(),
                next,
            });
        // One's own frame counts although a jump may lead to less.
        depths.max_by_key(|depth| depth.bytes).unwrap_or_default()
    }

    /// The same for all functions of a component that can call each other: as if all of them were there each time round.
    fn depths_of_circle(
        &self,
        component: &[u32],
        deepest: &BTreeMap<u32, Depth>,
    ) -> Result<Vec<(u32, Depth)>, String> {
        let times = self.times_round(component)?;
        let once: u32 = component.iter().map(|address| self.nodes[address].bytes).sum();
        let own = times * once;
        let out = component.iter().flat_map(|&address| self.successors(address));
        // Those that are not there yet are the component's.
        let next = out
            .filter(|to| deepest.contains_key(to))
            .max_by_key(|to| deepest[to].bytes);
        let bytes = own + next.map_or(0, |to| deepest[&to].bytes);
        let others = component.len() - 1;
        let depth = |&address: &u32| {
            let name = self.nodes[&address].name;
            let name = format!("{name} and the {others} others of its circle, {times} times");
            (
                address,
                Depth {
                    bytes,
                    own,
                    name,
                    next,
                },
            )
        };
        Ok(component.iter().map(depth).collect())
    }

    /// How often the circles among these functions are gone round, by the assumptions.
    fn times_round(&self, component: &[u32]) -> Result<u32, String> {
        let without = |prefix: &str| -> BTreeSet<u32> {
            let rest = component.iter().copied();
            rest.filter(|address| !self.nodes[address].name.starts_with(prefix))
                .collect()
        };
        let mut assumed = self.assumptions.circles.iter();
        let assumed = assumed.find(|(prefix, _)| self.circle(without(prefix)).is_none());
        assumed.map(|(_, times)| *times).ok_or_else(|| {
            // Without those that an assumption ends, if there are others.
            let others = self
                .assumptions
                .circles
                .iter()
                .find_map(|(prefix, _)| self.circle(without(prefix)));
            let circle = others.or_else(|| self.circle(without("\0"))).unwrap_or_default();
            let lines = circle.iter().map(|address| {
                let node = &self.nodes[address];
                let pointer = node.pointer.map(|at| format!(" (through a pointer at {at:#x})"));
                format!("\n  {}{}", node.name, pointer.unwrap_or_default())
            });
            format!(
                "these functions call each other in a circle:{}",
                lines.collect::<String>()
            )
        })
    }

    /// A circle that these functions alone can make.
    fn circle(&self, mut among: BTreeSet<u32>) -> Option<Vec<u32>> {
        let next = |among: &BTreeSet<u32>, address: u32| {
            self.successors(address).into_iter().find(|to| among.contains(to))
        };
        // Whoever calls none of the others is in no circle.
        loop {
            let count = among.len();
            among = among
                .iter()
                .copied()
                .filter(|&address| next(&among, address).is_some())
                .collect();
            if among.len() == count {
                break;
            }
        }
        // From anyone on one comes back to somebody.
        let mut path = vec![*among.first()?];
        loop {
            let to = next(&among, *path.last()?)?;
            if let Some(begin) = path.iter().position(|&before| before == to) {
                return Some(path.split_off(begin));
            }
            path.push(to);
        }
    }

    /// The strongly connected components, each after those that it leads to.
    fn components(&self) -> Vec<Vec<u32>> {
        let mut graph = DiGraphMap::<u32, ()>::new();
        for &address in self.nodes.keys() {
            graph.add_node(address);
            for to in self.successors(address) {
                graph.add_edge(address, to, ());
            }
        }
        tarjan_scc(&graph)
    }

    fn successors(&self, address: u32) -> Vec<u32> {
        let node = &self.nodes[&address];
        node.calls.iter().chain(&node.jumps).copied().collect()
    }
}

fn chain(entry: u32, deepest: &BTreeMap<u32, Depth>) -> Chain {
    let mut steps = Vec::new();
    let mut at = Some(entry);
    while let Some(depth) = at.and_then(|address| deepest.get(&address)) {
        steps.push((depth.name.clone(), depth.own));
        at = depth.next;
    }
    Chain { steps }
}

/// How deep it goes from a function on.
#[derive(Debug, Default)]
struct Depth {
    /// Bytes of stack from its caller's on.
    bytes: u32,
    /// What it adds by itself.
    own: u32,
    name: String,
    /// Who comes next in the deepest chain.
    next: Option<u32>,
}

/// The functions that a target can be.
fn goes_to(
    image: &Image,
    assumptions: &Assumptions<'_>,
    from: &Function,
    target: Target,
) -> Result<BTreeSet<u32>, String> {
    let called_back = |routine: &str| -> Result<BTreeSet<u32>, String> {
        let callbacks = assumptions.callbacks.iter().filter(|(by, _)| *by == routine);
        callbacks.map(|(_, callback)| image.named(callback)).collect()
    };
    match target {
        Target::At(address) => image
            .containing(address)
            .map(|function| BTreeSet::from([function]))
            .ok_or_else(|| format!("{} goes to {address:#x}, which is no function", from.name)),
        Target::Through(slot) if image.imports.contains_key(&slot) => called_back(&image.imports[&slot]),
        Target::Table { at, offset } if at == image.framework => match image::framework_routine(offset) {
            Some(routine) => called_back(routine),
            None => Ok(BTreeSet::new()),
        },
        Target::Through(_) | Target::Table { .. } | Target::Unknown(_) => {
            let rule = assumptions
                .pointers
                .iter()
                .find(|(prefix, _)| from.name.starts_with(prefix));
            let possible = image.taken.iter().copied().filter(|address| {
                let name = &image.functions[address].name;
                rule.is_none_or(|(_, goes_to)| goes_to(name))
            });
            Ok(possible.collect())
        }
    }
}
