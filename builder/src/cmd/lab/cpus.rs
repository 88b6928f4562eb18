//! Which host CPU each machine stays on: User-mode Linux loses a third of its speed when it wanders.
//!
//! The load is known beforehand (how much CPU each role takes to come up), so this is packing: heaviest first. Pure but
//! for the question which CPUs there are.

use std::collections::BTreeMap;

use machine_config::Role;

/// CPU-seconds that a machine of each role takes to come up, measured; only their ratio matters.
fn weight(role: Role) -> u32 {
    match role {
        Role::Lb => 2,
        Role::Etcd => 7,
        Role::ControlPlane => 16,
        Role::Worker => 9,
    }
}

/// Heaviest first, each to the CPU that has least to do so far.
#[must_use]
pub fn spread(roles: &[Role], cpus: &[usize]) -> Vec<Option<usize>> {
    let mut load: BTreeMap<usize, u32> = cpus.iter().map(|cpu| (*cpu, 0)).collect();
    let mut order: Vec<usize> = (0..roles.len()).collect();
    order.sort_by_key(|index| roles.get(*index).map_or(0, |role| u32::MAX - weight(*role)));
    let mut placed = vec![None; roles.len()];
    for index in order {
        let (Some(role), Some(place)) = (roles.get(index), placed.get_mut(index)) else { continue };
        let Some((cpu, sum)) = load.iter_mut().min_by_key(|(_, sum)| **sum) else { break };
        *sum += weight(*role);
        *place = Some(*cpu);
    }
    placed
}

/// The CPUs that this process may use.
#[must_use]
pub fn available() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_has_a_cpu_to_itself_where_there_are_two() {
        let roles = [Role::Lb, Role::Etcd, Role::ControlPlane, Role::Worker];
        let placed = spread(&roles, &[0, 1]);
        let control_plane = placed[2];
        assert!(
            placed.iter().enumerate().all(|(index, cpu)| index == 2 || *cpu != control_plane || index == 0)
        );
        assert_ne!(placed[1], control_plane);
        assert_ne!(placed[3], control_plane);
    }

    #[test]
    fn with_enough_cpus_nobody_shares_and_without_any_nobody_is_placed() {
        let mut placed = spread(&Role::ALL, &[4, 5, 6, 7]);
        placed.sort();
        assert_eq!(placed, [Some(4), Some(5), Some(6), Some(7)]);
        assert_eq!(spread(&Role::ALL, &[]), [None; 4]);
    }
}
