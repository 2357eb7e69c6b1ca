// swift-tools-version: 6.2
import PackageDescription

/// As in the exporter's own package.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// A package of its own, so that the exporter does not depend on what only its measurement needs.
let package = Package(
    name: "sidereal-export-benchmarks",
    dependencies: [
        .package(name: "sidereal-export", path: ".."),
        // Without its traits it counts no allocations, which AllocationCount does, and puts no library before the system's.
        .package(url: "https://github.com/ordo-one/benchmark", exact: "1.38.1", traits: []),
    ],
    targets: [
        .target(name: "AllocationCount", path: "AllocationCount"),
        .target(name: "Callgrind", path: "Callgrind"),
        .target(
            name: "Cases", dependencies: [.product(name: "Measured", package: "sidereal-export")], path: "Cases",
            swiftSettings: strict),
        // Its plug-in runs what lies in a directory of this name.
        .executableTarget(
            name: "Micro",
            dependencies: ["AllocationCount", "Cases", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/Micro", swiftSettings: strict,
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        .executableTarget(
            name: "count-instructions", dependencies: ["Callgrind", "Cases"], path: "CountInstructions",
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
