//! Recipes: how each kind of component source is built.
