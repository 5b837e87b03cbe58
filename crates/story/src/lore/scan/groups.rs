//! Selects a single active entry of each group for insertion.

use super::{Activation, ActiveEntry, Scan};
use base::untrusted::clean_line;

impl Scan<'_, '_> {
    /// Keeps one entry of each group: a sticky one, or else the overriding one with the highest
    /// order, or else a random one by weight.
    pub(super) fn resolve_groups(&mut self) {
        let mut groups: Vec<String> = Vec::new();
        for active in &self.active {
            for group in group_names(&active.entry.group) {
                if !groups.iter().any(|known| known == group) {
                    groups.push(group.to_string());
                }
            }
        }
        for group in groups {
            let within =
                |active: &ActiveEntry| group_names(&active.entry.group).any(|name| name == group);
            let members: Vec<usize> = (0..self.active.len())
                .filter(|at| within(&self.active[*at]))
                .collect();
            if members.len() < 2 {
                continue;
            }
            let winner = self.group_winner(&members);
            for at in members.into_iter().rev().filter(|at| *at != winner) {
                let lost = self.active.remove(at);
                let why = format!(
                    "another entry of the group \"{}\" was selected",
                    clean_line(&group)
                );
                self.skip(lost.book, lost.entry, why);
            }
        }
    }

    fn group_winner(&self, members: &[usize]) -> usize {
        let active = |at: &usize| &self.active[*at];
        let sticking = members
            .iter()
            .find(|at| matches!(active(at).why, Activation::Sticky(_)));
        if let Some(at) = sticking {
            return *at;
        }
        let over = members.iter().filter(|at| active(at).entry.group_override);
        if let Some(at) = over.max_by_key(|at| active(at).entry.order) {
            return *at;
        }
        let weight = |at: &usize| active(at).entry.group_weight.max(0.0);
        let total: f64 = members.iter().map(weight).sum();
        let first = active(&members[0]);
        let mut left = self.chance(first.book, first.entry) * total;
        for at in members {
            left -= weight(at);
            if left < 0.0 {
                return *at;
            }
        }
        members[0]
    }
}

fn group_names(group: &str) -> impl Iterator<Item = &str> {
    group
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}
