//! Core: tests.
