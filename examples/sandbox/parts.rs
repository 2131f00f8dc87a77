// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects and contexts of the example, who may do what with them, and calling the
//! one through the other.

use twz::{
    Backend, DATA_START, NewObject, Object, ObjectId, Rights, Space,
    security::{
        Context, Ended, Gate, How, KeyPair, NewContext, Policy, Terms, Touched, context_flags, sign,
    },
};

use crate::{
    Outcome,
    code::{self, APART, Call, FUNCTIONS, GATE, TELLER},
};

/// Bytes of each object.
const SIZE: u64 = 4096;
/// Who has it may keep it: not run it.
const KEEP: Rights = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::DELETE.0);
const RUN: Rights = Rights(Rights::READ.0 | Rights::EXEC.0);

/// Everything there is: open, and so mapped side by side.
pub struct Parts {
    ledger: Object<()>,
    teller: Object<()>,
    library: Object<()>,
    input: Object<()>,
    pub contexts: Contexts,
}

/// The program's and the library's.
#[derive(Clone, Copy)]
pub struct Contexts {
    pub program: ObjectId,
    pub library: ObjectId,
}

/// A context that holds these grants from the start, and that nobody can change.
fn context(
    pool: &dyn Backend,
    policy: Policy,
    terms: &[Terms],
    (owner, key): (ObjectId, &KeyPair),
) -> twz::Result<ObjectId> {
    let rights = Rights(Rights::READ.0 | Rights::DELETE.0);
    let sign = |id| terms.iter().map(|terms| sign(terms.unsigned(id, 0), key)).collect();
    Ok(Context::create_with(pool, &NewContext { owner, policy, rights }, sign)?.id())
}

impl Parts {
    /// Makes it all, and acts in the program's context from now on.
    pub fn make(space: &Space) -> Outcome<Self> {
        let pool = space.backend();
        let key = KeyPair::generate()?;
        let owner = key.publish(pool)?;
        // Nobody has any of it but by a grant; what the library's code is, all may see.
        let new = |default_rights| NewObject {
            owner,
            default_rights,
            size: SIZE,
            ..NewObject::default()
        };
        let ledger = pool.create(&new(Rights::NONE))?;
        let teller = pool.create(&new(Rights::NONE))?;
        let input = pool.create(&new(Rights::NONE))?;
        let library = pool.create(&new(Rights::READ))?;

        let back = Gate { offset: DATA_START + GATE, length: 1, align: 1 };
        let mut terms = [ledger, teller, input, library].map(|id| Terms::new(id, KEEP)).to_vec();
        terms.push(Terms::new(teller, RUN).through(back));
        let program = context(pool, Policy::OPEN, &terms, (owner, &key))?;

        // It is left through a gate, and has what is granted, and nothing else.
        let confined = Policy { mask: Rights::NONE, flags: context_flags::CONFINED };
        let functions = Gate { offset: DATA_START, length: FUNCTIONS * APART, align: APART };
        let run = Terms::new(library, RUN).through(functions);
        let terms = [run, Terms::new(input, Rights::READ)];
        let confined = context(pool, confined, &terms, (owner, &key))?;

        let (here, beside) = (How { switch: true, cloexec: true }, How::default());
        space.attach_with_key(program, &key, here)?;
        space.attach_with_key(confined, &key, beside)?;
        pool.write(library, DATA_START, &code::library())?;
        let parts = Self {
            ledger: space.open_object(ledger)?,
            teller: space.open_code(teller)?,
            library: space.open_code(library)?,
            input: space.open_object(input)?,
            contexts: Contexts { program, library: confined },
        };
        for (at, value) in [(0, 10u64), (8, 20), (16, 30)] {
            parts.input.write(at, &value.to_le_bytes())?;
        }
        Ok(parts)
    }

    /// The objects, by what they are.
    pub fn all(&self) -> [(&'static str, ObjectId); 4] {
        [
            ("ledger", self.ledger.id()),
            ("teller", self.teller.id()),
            ("library", self.library.id()),
            ("input", self.input.id()),
        ]
    }

    /// What the program has noted: its total, and the last answer.
    pub fn noted(&self) -> Outcome<(u64, i64)> {
        let mut words = [[0; 8]; 2];
        self.ledger.read(0, words.as_flattened_mut())?;
        Ok((u64::from_le_bytes(words[0]), i64::from_le_bytes(words[1])))
    }

    /// Has the teller call a function of the library, in a child of this process. With
    /// `sealed`, only the teller can make system calls.
    pub fn call(&self, call: Call, sealed: bool) -> Outcome<Ended> {
        let at = |object: &Object<()>, offset| object.address() as u64 + DATA_START + offset;
        let arguments = match call {
            Call::Sum | Call::System => [at(&self.input, 0), 0],
            Call::Scribble => [at(&self.input, 0), 7],
            Call::Read | Call::Write => [at(&self.ledger, 0), 7],
            Call::Peek => [at(&self.teller, 0), 0],
            // Where it adds what is in a register that the library has set.
            Call::Jump => [at(&self.teller, GATE + 10), 0],
        };
        let function = at(&self.library, call as u64 * APART);
        let code = code::teller(function, arguments, at(&self.ledger, 0));
        let space = self.ledger.space();
        space.backend().write(self.teller.id(), DATA_START, &code)?;
        let begin = at(&self.teller, 0) as usize;
        let own = begin..begin + TELLER as usize;
        let seal = if sealed { std::slice::from_ref(&own) } else { &[] };
        Ok(space.run_apart(begin, seal)?)
    }

    /// What lies where something was refused.
    pub fn place_of(&self, touched: &Touched) -> &'static str {
        let objects = [&self.ledger, &self.teller, &self.library, &self.input];
        let place = objects.iter().position(|object| {
            let data = object.address() + DATA_START as usize;
            (data..data + SIZE as usize).contains(&touched.address)
        });
        place.map_or("somewhere else", |place| self.all()[place].0)
    }

    /// Leaves nothing behind but the key, which others may have come to rely on.
    pub fn remove(self, space: &Space) -> Outcome<()> {
        let ids = self.all().map(|(_, id)| id);
        let Contexts { program, library } = self.contexts;
        drop(self);
        for id in ids.into_iter().chain([library, program]) {
            space.backend().delete(id)?;
        }
        Ok(())
    }
}
