//! Who needs whom, both ways, as the image laid it out: it never changes while a machine runs.
//!
//! A service's needs come before it in the table, so going through places forwards is going
//! from needs to dependents. What an edge asks for at a moment is `settle`'s.

use std::collections::VecDeque;

use machine_config::service::{Edge, EdgeKind, OnLoss, Place, Unit};

/// An edge seen from the need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependent {
    /// Who needs.
    pub place: Place,
    /// Which of its edges this is.
    pub edge: usize,
    /// Of what kind.
    pub kind: EdgeKind,
    /// What losing the need means to it.
    pub on_loss: OnLoss,
}

impl Dependent {
    /// Whether it would not be what it is without the need.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.kind == EdgeKind::Requires || self.on_loss != OnLoss::Keep
    }
}

/// Whether the edge starts what it points to.
#[must_use]
pub fn pulls(edge: &Edge) -> bool {
    edge.kind != EdgeKind::After
}

/// The edges by the place they point to, and where they lead in the end.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    dependents: Vec<Vec<Dependent>>,
    above: Vec<Vec<Place>>,
}

impl Graph {
    /// Of a table's units.
    #[must_use]
    pub fn of(units: &[Unit]) -> Self {
        let mut dependents = vec![Vec::new(); units.len()];
        for (unit, place) in units.iter().zip(0_u16..) {
            for (n, edge) in unit.edges.iter().enumerate() {
                if let Some(list) = dependents.get_mut(edge.to.index()) {
                    list.push(Dependent {
                        place: Place(place),
                        edge: n,
                        kind: edge.kind,
                        on_loss: edge.on_loss,
                    });
                }
            }
        }
        let above = dependents.iter().map(|direct| above(direct, &dependents)).collect();
        Self { dependents, above }
    }

    /// Who needs `place`.
    #[must_use]
    pub fn dependents(&self, place: Place) -> &[Dependent] {
        self.dependents.get(place.index()).map_or(&[], Vec::as_slice)
    }

    /// Whoever starts after `place` by any edges, and so stops before it: the nearest first.
    #[must_use]
    pub fn above(&self, place: Place) -> &[Place] {
        self.above.get(place.index()).map_or(&[], Vec::as_slice)
    }
}

/// All who need one with these `direct` dependents, near and far.
fn above(direct: &[Dependent], dependents: &[Vec<Dependent>]) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    let mut look = VecDeque::from([direct]);
    while let Some(next) = look.pop_front() {
        for dependent in next {
            if !found.contains(&dependent.place) {
                found.push(dependent.place);
                look.extend(dependents.get(dependent.place.index()).map(Vec::as_slice));
            }
        }
    }
    found
}
