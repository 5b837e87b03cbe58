//! Chooses the part of the cases that this process writes or replays.
//!
//! A case's part depends on a hash of the case's id and not on the line number. So the part stays
//! the same when rows are added or removed, and a run can be resumed.

use base::hash::split_mix;

/// One of the parts into which the cases are divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The index of the part, counted from 0.
    index: u64,
    count: u64,
    /// The name of the flag or environment variable that chose the part.
    pub source: &'static str,
}

const USAGE: &str = "--shard must be I/N, for example 3/8, or only N if SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX gives the part";

impl Shard {
    /// Finds the part chosen by `--shard` or by a cluster's environment variables. Returns None if
    /// this process takes all cases.
    pub fn find(
        flag: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Shard>, String> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(value) => match value.trim().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("{name} is not a whole number; correct or unset it")),
            },
        };
        let part = flag.map(|flag| flag.split_once('/').unwrap_or(("", flag)));
        let count = part.map(|(_, count)| count.parse().map_err(|_| USAGE.to_string()));
        let count = count.transpose()?;
        if let Some((index, _)) = part.filter(|(index, _)| !index.is_empty()) {
            let index: u64 = index.parse().map_err(|_| USAGE.to_string())?;
            return checked(index.checked_sub(1), count, "--shard").map(Some);
        }
        if let Some(id) = number("SLURM_ARRAY_TASK_ID")? {
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
            let count = count.or(number("SLURM_ARRAY_TASK_COUNT")?);
            let index = id.checked_sub(first).map(|past| past / step);
            return checked(index, count, "SLURM_ARRAY_TASK_ID").map(Some);
        }
        if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            let count = count.or(number("JOB_COMPLETIONS")?);
            return checked(Some(index), count, "JOB_COMPLETION_INDEX").map(Some);
        }
        match flag {
            Some(_) => Err(USAGE.to_string()),
            None => Ok(None),
        }
    }

    /// Whether a case is in this part. `hash` is the FNV-1a hash of the case's id.
    pub fn has(&self, hash: u64) -> bool {
        split_mix(hash, 0) % self.count == self.index
    }

    /// Returns the part as text, for example "part 3 of 8".
    pub fn name(&self) -> String {
        format!("part {} of {}", self.index + 1, self.count)
    }
}

fn checked(index: Option<u64>, count: Option<u64>, source: &'static str) -> Result<Shard, String> {
    let Some(count) = count else {
        return Err(format!(
            "{source} gives a part, but the number of parts is unknown; give it with --shard N"
        ));
    };
    match index {
        Some(index) if index < count => Ok(Shard {
            index,
            count,
            source,
        }),
        _ => Err(format!(
            "{source} gives a part that does not exist: there are {count}; --shard I/N counts from 1 to N"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::hash::fnv1a;

    fn found(flag: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<Shard>, String> {
        let variable = |name: &str| {
            let pair = variables.iter().find(|(known, _)| *known == name);
            pair.map(|(_, value)| value.to_string())
        };
        Shard::find(flag, variable)
    }

    fn name(flag: Option<&str>, variables: &[(&str, &str)]) -> String {
        match found(flag, variables) {
            Ok(Some(shard)) => shard.name(),
            Ok(None) => "all".to_string(),
            Err(why) => why,
        }
    }

    #[test]
    fn flags_win_over_slurm_over_kubernetes() {
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "14"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_STEP", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("JOB_COMPLETION_INDEX", "0"),
        ];
        assert_eq!(name(Some("2/8"), &slurm), "part 2 of 8");
        assert_eq!(name(None, &slurm), "part 3 of 4");
        assert_eq!(name(Some("5"), &slurm), "part 3 of 5");
        let job = [("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "6")];
        assert_eq!(name(None, &job), "part 1 of 6");
        assert_eq!(name(Some("9"), &job[..1]), "part 1 of 9");
        assert_eq!(name(None, &[]), "all");
    }

    #[test]
    fn a_part_that_is_not_there_is_refused() {
        for flag in ["0/4", "5/4", "1/0", "a/4", "4", "1/2/3", ""] {
            assert!(found(Some(flag), &[]).is_err(), "{flag}");
        }
        assert!(name(None, &[("JOB_COMPLETION_INDEX", "0")]).contains("--shard N"));
        assert!(found(None, &[("SLURM_ARRAY_TASK_ID", "x")]).is_err());
    }

    #[test]
    fn the_parts_are_even_and_each_id_is_in_one() {
        let parts: Vec<Shard> = (1..=7)
            .map(|part| found(Some(&format!("{part}/7")), &[]).unwrap().unwrap())
            .collect();
        let mut sizes = [0; 7];
        for id in (0..7000).map(|id| format!("case-{id}")) {
            let mine: Vec<usize> = (0..7).filter(|at| parts[*at].has(fnv1a(&id))).collect();
            assert_eq!(mine.len(), 1);
            sizes[mine[0]] += 1;
        }
        assert!(
            sizes.iter().all(|size| (900..1100).contains(size)),
            "{sizes:?}"
        );
    }
}
