//! Laws: whatever comes in whatever order, and whatever a text holds.

mod deliveries;
mod orders;
mod statements;
