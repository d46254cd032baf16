//! What an authority keeps and does. `office` opens its folder; every other file is one thing that is done there.

pub mod bundle;
pub mod commit;
pub mod decide;
pub mod declared;
pub mod drills;
pub mod exams;
pub mod finish;
pub mod folder;
pub mod found;
pub mod history;
pub mod journal;
pub mod licenses;
pub mod office;
pub mod publish;
pub mod registry;
pub mod roots;
pub mod rotate;
pub mod sequential;
pub mod signing;
pub mod stages;
pub mod standing;
pub mod throwaway;
pub mod weights;
