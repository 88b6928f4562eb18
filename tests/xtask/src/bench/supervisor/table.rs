//! Medians, the table and its verdicts, and the same as JSON.
//!
//! A row of ours is met when its goal is, and when it keeps the distance to the best of the others that it must.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rival::Rival;
use super::row::{Goal, Row};

/// Every figure of every round.
#[derive(Debug, Default)]
pub struct Found(BTreeMap<(&'static str, Row), Vec<f64>>);

/// A row with its verdict.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    row: Row,
    title: String,
    /// Medians, by supervisor.
    medians: BTreeMap<&'static str, f64>,
    /// Every round's figure.
    rounds: BTreeMap<&'static str, Vec<f64>>,
    goal: Option<f64>,
    goal_met: Option<bool>,
    /// The goal on this machine, by what dinit takes here.
    goal_here: Option<f64>,
    goal_met_here: Option<bool>,
    /// How much better ours is than the best of the others.
    times_best: Option<f64>,
    race_met: Option<bool>,
}

impl Found {
    /// Keeps a figure.
    pub fn add(&mut self, rival: Rival, row: Row, figure: f64) {
        self.0.entry((rival.name(), row)).or_default().push(figure);
    }

    /// The rows that have figures.
    pub fn lines(&self, services: u32) -> Vec<Line> {
        Row::ALL.into_iter().filter_map(|row| self.line(row, services)).collect()
    }

    fn line(&self, row: Row, services: u32) -> Option<Line> {
        let rounds: BTreeMap<&str, Vec<f64>> = self
            .0
            .iter()
            .filter(|((_, of), _)| *of == row)
            .map(|((name, _), all)| (*name, all.clone()))
            .collect();
        if rounds.is_empty() {
            return None;
        }
        let medians: BTreeMap<&str, f64> = rounds.iter().map(|(name, all)| (*name, median(all))).collect();
        let ours = medians.get(Rival::Ours.name()).copied();
        let ratios = medians.iter().filter(|(name, _)| **name != Rival::Ours.name());
        let times_best = ratios.filter_map(|(_, other)| row.ratio(ours?, *other)).min_by(f64::total_cmp);
        let goal = row.goal(services);
        let dinit = medians.get(Rival::Dinit.name());
        let here = dinit.map_or(Goal::None, |dinit| row.goal_here(services, *dinit));
        Some(Line {
            row,
            title: row.title(services),
            goal: goal.figure(),
            goal_here: here.figure(),
            goal_met_here: ours.and_then(|ours| here.is_met_by(ours)),
            goal_met: ours.and_then(|ours| goal.is_met_by(ours)),
            race_met: times_best.filter(|_| row.is_a_race()).map(|times| times >= row.lead()),
            times_best,
            medians,
            rounds,
        })
    }
}

/// Prints `lines`.
pub fn print(lines: &[Line]) {
    print!("{:<36}", "");
    for rival in Rival::ALL {
        print!("{:>10}", rival.name());
    }
    println!("{:>9}{:>8}{:>8}  verdict", "x best", "goal", "here");
    for line in lines {
        print!("{:<36}", line.title);
        for rival in Rival::ALL {
            print!(
                "{:>10}",
                line.medians.get(rival.name()).map_or_else(|| "-".to_owned(), |figure| short(*figure))
            );
        }
        let times = line.times_best.map_or_else(String::new, |times| format!("{times:.2}"));
        println!(
            "{times:>9}{:>8}{:>8}  {}",
            line.goal.map(short).unwrap_or_default(),
            line.goal_here.map(short).unwrap_or_default(),
            verdict(line.goal_met, line.goal_met_here, line.race_met)
        );
    }
}

fn verdict(goal: Option<bool>, here: Option<bool>, race: Option<bool>) -> String {
    let word = |met: bool| if met { "met" } else { "MISSED" };
    let goal = goal.map(|met| format!("goal {}", word(met)));
    let here = here.map(|met| format!("here {}", word(met)));
    let race = race.map(|met| format!("best {}", word(met)));
    [goal, here, race].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}

fn median(all: &[f64]) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (Some(above), 0) => f64::midpoint(*above, sorted.get(middle - 1).copied().unwrap_or(*above)),
        (Some(only), _) => *only,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: f64, others: [f64; 2]) -> Line {
        let mut found = Found::default();
        found.add(Rival::Ours, Row::Stop, ours);
        found.add(Rival::Dinit, Row::Stop, others[0]);
        found.add(Rival::S6, Row::Stop, others[1]);
        found.lines(100).pop().unwrap()
    }

    #[test]
    fn who_is_a_tenth_behind_the_best_has_not_lost() {
        assert_eq!(line(3.2, [3.0, 9.0]).race_met, Some(true));
        assert_eq!(line(3.4, [3.0, 9.0]).race_met, Some(false));
        assert_eq!(line(3.4, [3.0, 9.0]).goal_met, Some(true));
        assert_eq!(line(11.0, [30.0, 90.0]).goal_met, Some(false));
    }

    #[test]
    fn a_verdict_says_both() {
        assert_eq!(verdict(Some(true), None, Some(false)), "goal met, best MISSED");
        assert_eq!(verdict(Some(false), Some(true), Some(true)), "goal MISSED, here met, best met");
        assert_eq!(verdict(None, None, None), "");
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert!((median(&[4.0, 2.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[4.0, 9.0, 2.0]) - 4.0).abs() < 1e-9);
    }
}
