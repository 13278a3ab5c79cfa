#!/usr/bin/env bash
# Fetches both official Java SDKs for servers and compiles their drivers into .services/java-sdk.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$PWD/.services/java-sdk
sources=test/sdk/drivers/java
if ! cmp -s "$sources/pom.xml" "$target/pom.xml"; then
  fetch() {
    mvn -q -B -f "$sources/pom.xml" dependency:copy-dependencies -DoutputDirectory="$target/libs" -DincludeScope=runtime
  }
  rm -rf "$target/libs"
  fetch || fetch
  cp "$sources/pom.xml" "$target/pom.xml"
fi
rm -rf "$target/classes"
javac -d "$target/classes" -cp "$target/libs/*" "$sources"/*.java
