#!/usr/bin/env bash
# Builds the two drivers of the official Rust SDK (its protocol is chosen when it is compiled) into .services/rust-sdk.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/.services/rust-sdk
mkdir -p "$target"
cd test/sdk/drivers/rust
export CARGO_TARGET_DIR=$target/target
cargo fetch --quiet --locked || cargo fetch --quiet --locked
cargo build --quiet --locked --offline
cp "$target/target/debug/posthog-rs-driver" "$target/driver"
cargo build --quiet --locked --offline --features v1
cp "$target/target/debug/posthog-rs-driver" "$target/driver-v1"
