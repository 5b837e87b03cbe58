//! Divides the cases of a run into groups that run one after the other. All cases of a group get
//! their answers from the same source, and run on the same device with the same number of threads.

use super::super::args::{On, Replay as Args};
use super::super::{Failed, complain};
use super::plan::{Basis, Plan};
use super::truth::Truth;
use super::usage;
use llm::device::DeviceChoice;
use replay::cassette::compare::Agreement;
use replay::report::{RunMode, RunReport};
use replay::script::{Answers, Case};
use std::path::PathBuf;

/// The groups of a run.
pub(super) struct Groups {
    truths: Vec<Truth>,
    pub(super) groups: Vec<Group>,
}

/// Cases that run together.
pub(super) struct Group {
    /// The index of the group's [`Truth`], which says where the answers come from.
    truth: usize,
    pub(super) on: On,
    /// The indices of the cases in the plan.
    pub(super) cases: Vec<usize>,
}

impl Groups {
    /// Divides the cases of a plan into groups, and opens their cassettes.
    pub(super) fn divide(plan: &Plan) -> Result<Groups, Failed> {
        let (mut answers, mut groups): (Vec<Answers>, Vec<Group>) = (Vec::new(), Vec::new());
        for (index, (_, case)) in plan.cases.iter().enumerate() {
            let wanted = answers_of(plan.args, case);
            let known = answers.iter().position(|known| *known == wanted);
            let truth = known.unwrap_or_else(|| {
                answers.push(wanted);
                answers.len() - 1
            });
            let on = on(plan.args, case)?;
            let same = |group: &&mut Group| {
                (group.truth, group.on.device, group.on.threads) == (truth, on.device, on.threads)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.cases.push(index),
                None => groups.push(Group {
                    truth,
                    on,
                    cases: vec![index],
                }),
            }
        }
        check(plan.args, &answers)?;
        let truths = answers
            .iter()
            .map(|answers| Truth::open(plan.args, answers));
        Ok(Groups {
            truths: truths.collect::<Result<_, _>>()?,
            groups,
        })
    }

    /// Returns what the result of each case of the plan depends on besides its script and its model.
    pub(super) fn bases(&self, plan: &Plan) -> Vec<Basis> {
        let mut bases = vec![Basis::default(); plan.cases.len()];
        let mixed = self.mode() == RunMode::Mixed;
        for group in &self.groups {
            let truth = self.truth(group);
            for index in &group.cases {
                bases[*index] = Basis {
                    cassette: truth.cassette().map(PathBuf::from),
                    digest: truth.basis().to_string(),
                    mode: mixed.then(|| truth.mode()),
                };
            }
        }
        bases
    }

    pub(super) fn truth(&self, group: &Group) -> &Truth {
        &self.truths[group.truth]
    }

    /// The mode of the run.
    pub(super) fn mode(&self) -> RunMode {
        let mut modes = self.truths.iter().map(Truth::mode);
        let first = modes.next().unwrap_or_default();
        match modes.all(|mode| mode == first) {
            true => first,
            false => RunMode::Mixed,
        }
    }

    /// Adds the cassettes, and how well the model agrees with them, to the report. Completes the
    /// cassettes being recorded, but only if every case ran.
    pub(super) fn finish(
        &self,
        run: &mut RunReport,
        every_case_ran: bool,
        stable: bool,
    ) -> Result<(), Failed> {
        let (mut cassettes, mut verified) = (Vec::new(), None::<Agreement>);
        for truth in &self.truths {
            let (cassette, agreement) = truth.found(stable);
            // An incomplete cassette would replace one that may be complete.
            if truth.records() && !every_case_ran {
                let cassette = cassette.unwrap_or_default();
                complain(&format!(
                    "The cassette {cassette} was not written, because some cases did not run"
                ));
                continue;
            }
            truth.finish()?;
            cassettes.extend(cassette);
            if let Some(agreement) = agreement {
                verified.get_or_insert_default().add(agreement);
            }
        }
        run.cassette = (!cassettes.is_empty()).then(|| cassettes.join(", "));
        run.verified = verified.map(|agreement| agreement.report());
        Ok(())
    }
}

/// Where the answers of a case come from: the command line overrides the script.
fn answers_of(args: &Args, case: &Case) -> Answers {
    let truth = &args.truth;
    if let Some(path) = &truth.cassette {
        return Answers::Cassette(path.clone());
    }
    if let Some(path) = &truth.verify {
        return Answers::Verify {
            cassette: path.clone(),
            tolerance: truth.tolerance,
        };
    }
    match truth.recompute || truth.record.is_some() {
        true => Answers::Recompute,
        false => case.conditions.answers.clone().unwrap_or_default(),
    }
}

/// The device and the number of threads of a case.
fn on(args: &Args, case: &Case) -> Result<On, Failed> {
    let (flags, script) = (&args.common.on, &case.conditions);
    let named = script.device.as_deref().map(str::parse::<DeviceChoice>);
    let named = named.transpose().map_err(usage)?;
    Ok(On {
        device: match flags.device {
            DeviceChoice::Auto => named.unwrap_or_default(),
            device => device,
        },
        threads: flags.threads.or(script.threads),
        kv: flags.kv,
    })
}

/// Checks that `--compare` and `--resume` are compatible with where the answers come from.
fn check(args: &Args, answers: &[Answers]) -> Result<(), Failed> {
    if !args.compare.is_empty() && answers.iter().any(|it| *it != Answers::Recompute) {
        let why = "--compare needs passages that the model writes anew, but the script plays or verifies recorded ones; add --recompute";
        return Err(usage(why));
    }
    let verifies = |it: &Answers| matches!(it, Answers::Verify { .. });
    if args.many.resume.is_some() && answers.iter().any(verifies) {
        let why = "--resume does not fit a script that verifies answers, since every token must be compared; leave out --resume";
        return Err(usage(why));
    }
    Ok(())
}
