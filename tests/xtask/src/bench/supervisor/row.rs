//! The rows of the table: what is measured, in which unit, and how good it has to be.
//!
//! Goals are those of reference/supervisors.md 3.8, where another machine was measured: what dinit took there and takes
//! here tells what a goal is here. The other yardstick is the best of the others.

use serde::Serialize;

/// A figure; less is better but for throughput and rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// PSS of the supervisor's processes with ten services, in MB.
    Memory10,
    /// The same with a hundred (`--services`).
    Memory100,
    /// From PID 1's first instruction to the last service's, in ms.
    StartWall,
    /// CPU time of everybody for that, in ms.
    StartCpu,
    /// From the first service's first instruction to the last's: boot left out.
    StartSpan,
    /// The same for 30 services that need each other, readiness by a message.
    Chain,
    /// From kill -9 to the new process's first instruction: the median, in ms.
    RestartP50,
    /// The same: one in a hundred is slower.
    RestartP99,
    /// CPU time of everybody per restart, in ms.
    RestartCpu,
    /// How much later than asked for a delayed restart comes: one in ten is later, in ms.
    DelayLate,
    /// From the order to stop to the last service's end, in ms.
    Stop,
    /// Restarts per second in a storm of crashes.
    StormRate,
    /// How much of a core the supervisor takes in it, in percent.
    StormShare,
    /// The same per crash, in µs: at few crashes per second, as ours lets happen, every one finds cold caches.
    StormCost,
    /// The oldest zombie seen in a storm of orphans, in ms.
    OldestZombie,
    /// PID 1's CPU time per orphan, in µs.
    OrphanCost,
    /// How often the supervisor wakes while nothing happens, per second.
    Idle,
    /// Log throughput in bulk, in MB/s.
    LogBulk,
    /// Log throughput line by line, in MB/s.
    LogLine,
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Shown, not judged.
    None,
}

impl Row {
    /// All, in the table's order.
    pub const ALL: [Self; 19] = [
        Self::Memory10,
        Self::Memory100,
        Self::StartWall,
        Self::StartSpan,
        Self::StartCpu,
        Self::Chain,
        Self::RestartP50,
        Self::RestartP99,
        Self::RestartCpu,
        Self::DelayLate,
        Self::Stop,
        Self::StormRate,
        Self::StormShare,
        Self::StormCost,
        Self::OldestZombie,
        Self::OrphanCost,
        Self::Idle,
        Self::LogBulk,
        Self::LogLine,
    ];

    /// Its name, with its unit.
    pub fn title(self, services: u32) -> String {
        match self {
            Self::Memory10 => "PSS, 10 services (MB)".to_owned(),
            Self::Memory100 => format!("PSS, {services} services (MB)"),
            Self::StartWall => format!("start {services}: wall (ms)"),
            Self::StartSpan => format!("start {services}: first to last (ms)"),
            Self::StartCpu => format!("start {services}: CPU (ms)"),
            Self::Chain => "chain of 30, ready (ms)".to_owned(),
            Self::RestartP50 => "restart p50 (ms)".to_owned(),
            Self::RestartP99 => "restart p99 (ms)".to_owned(),
            Self::RestartCpu => "restart: CPU (ms)".to_owned(),
            Self::DelayLate => "delay of 100 ms: late by, p90 (ms)".to_owned(),
            Self::Stop => format!("stop {services} (ms)"),
            Self::StormRate => "crash storm: restarts/s".to_owned(),
            Self::StormShare => "crash storm: share of a core (%)".to_owned(),
            Self::StormCost => "crash storm: CPU each (us)".to_owned(),
            Self::OldestZombie => "orphans: oldest zombie (ms)".to_owned(),
            Self::OrphanCost => "orphans: CPU each (us)".to_owned(),
            Self::Idle => "idle: wakeups/s".to_owned(),
            Self::LogBulk => "log, bulk (MB/s)".to_owned(),
            Self::LogLine => "log, line (MB/s)".to_owned(),
        }
    }

    /// What ours has to be by supervisors.md 3.8.
    pub fn goal(self, services: u32) -> Goal {
        let each = f64::from(services) / 100.0;
        match self {
            Self::Memory10 => Goal::AtMost(2.0),
            Self::Memory100 => Goal::AtMost(2.4),
            // 25 and 45, and 0.15 for each service's control group, which nobody else but systemd makes.
            Self::StartWall => Goal::AtMost(40.0 * each),
            Self::StartCpu => Goal::AtMost(60.0 * each),
            Self::Chain => Goal::AtMost(25.0),
            Self::RestartP50 => Goal::AtMost(0.8),
            Self::RestartP99 => Goal::AtMost(1.5),
            Self::RestartCpu => Goal::AtMost(0.8),
            Self::DelayLate => Goal::AtMost(5.0),
            Self::Stop => Goal::AtMost(10.0 * each),
            Self::StormShare => Goal::AtMost(15.0),
            Self::OldestZombie => Goal::AtMost(10.0),
            Self::OrphanCost => Goal::AtMost(20.0),
            Self::Idle => Goal::AtMost(0.0),
            Self::LogBulk => Goal::AtLeast(800.0),
            Self::LogLine => Goal::AtLeast(180.0),
            Self::StartSpan | Self::StormRate | Self::StormCost => Goal::None,
        }
    }

    /// What dinit took where the goals were set (supervisors.md 3.1 to 3.6), for times.
    fn dinit_there(self, services: u32) -> Option<f64> {
        let each = f64::from(services) / 100.0;
        match self {
            Self::StartWall => Some(25.0 * each),
            Self::StartCpu => Some(43.0 * each),
            Self::Chain => Some(19.0),
            Self::RestartP50 => Some(0.69),
            Self::RestartP99 => Some(1.18),
            Self::RestartCpu => Some(0.76),
            Self::Stop => Some(2.9 * each),
            Self::OrphanCost => Some(13.0),
            _ => None,
        }
    }

    /// The goal, where dinit takes so long.
    pub fn goal_here(self, services: u32, dinit: f64) -> Goal {
        match (self.goal(services), self.dinit_there(services)) {
            (Goal::AtMost(most), Some(there)) => Goal::AtMost(most * dinit / there),
            _ => Goal::None,
        }
    }

    /// Whether ours must not be worse than the best of the others. Where everybody's is nothing or next to it,
    /// or decided by policy, only the goal counts.
    pub fn is_a_race(self) -> bool {
        !matches!(
            self,
            Self::StartSpan
                | Self::StormRate
                | Self::StormCost
                | Self::OldestZombie
                | Self::Idle
                | Self::DelayLate
        )
    }

    /// How often as good as the best of the others ours must at least be: within 10 % of it, since runs differ by
    /// that much; the log path in bulk four times.
    pub fn lead(self) -> f64 {
        if self == Self::LogBulk { 4.0 } else { 1.0 / 1.1 }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::LogBulk | Self::LogLine | Self::StormRate)
    }

    /// How often better than `other` a figure of ours is: above 1 is better.
    pub fn ratio(self, ours: f64, other: f64) -> Option<f64> {
        let (more, less) = if self.more_is_better() { (ours, other) } else { (other, ours) };
        (less > 0.0).then(|| more / less)
    }
}

impl Goal {
    /// Its figure.
    pub fn figure(self) -> Option<f64> {
        match self {
            Self::AtMost(figure) | Self::AtLeast(figure) => Some(figure),
            Self::None => None,
        }
    }

    /// Whether `figure` is good enough; none where nobody judges.
    pub fn is_met_by(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(figure <= most),
            Self::AtLeast(least) => Some(figure >= least),
            Self::None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn better_is_above_one_whichever_way_a_row_counts() {
        assert_eq!(Row::Stop.ratio(2.0, 3.0), Some(1.5));
        assert_eq!(Row::LogBulk.ratio(800.0, 200.0), Some(4.0));
        assert_eq!(Row::Idle.ratio(0.0, 1.0), None);
    }

    #[test]
    fn a_goal_is_as_much_further_away_as_dinit_is_slower() {
        assert_eq!(Row::Chain.goal_here(100, 38.0), Goal::AtMost(50.0));
        assert_eq!(Row::Stop.goal_here(200, 5.8), Goal::AtMost(20.0));
        assert_eq!(Row::Memory10.goal_here(100, 9.0), Goal::None);
    }

    #[test]
    fn goals_are_met_at_their_limit() {
        assert_eq!(Row::Memory10.goal(100).is_met_by(2.0), Some(true));
        assert_eq!(Row::Memory10.goal(100).is_met_by(2.1), Some(false));
        assert_eq!(Row::LogBulk.goal(100).is_met_by(799.0), Some(false));
        assert_eq!(Row::StormRate.goal(100).is_met_by(1.0), None);
    }
}
