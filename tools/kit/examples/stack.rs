//! Prints the deepest chains of calls in a build of this repository's driver:
//! `cargo run -p rundown-kit --example stack -- rundown.sys rundown.pdb [HOW-MANY]`.

use std::{env, error::Error};

use rundown_kit::stack::{self, RUNDOWN};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let sys = arguments.next().ok_or("which image?")?;
    let pdb = arguments.next().ok_or("and its PDB?")?;
    let shown = arguments.next().map_or(Ok(5), |number| number.parse())?;
    for chain in stack::chains(sys.as_ref(), pdb.as_ref(), &RUNDOWN)?
        .iter()
        .take(shown)
    {
        println!("{chain}");
    }
    Ok(())
}
