// swift-tools-version: 6.2
import PackageDescription

/// Every target is compiled alike: memory-unsafe constructs are marked where they stand,
/// a warning is an error, and the language modes that a later Swift makes the default are on.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// What tests compute with for minutes is optimized in debug builds too: they are compiled a little longer and run a fraction as long.
let fast: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// Layers, lowest first. A target may name only targets of a lower layer, or of its own layer
/// where ARCHITECTURE.md says so; Tests/TidyTests holds every import against this table.
let package = Package(
    name: "sidereal-export",
    products: [
        .executable(name: "sidereal-export", targets: ["SiderealExport"]),
        // For benchmarks/Package.swift.
        .library(
            name: "Measured",
            targets: ["Model", "Formats", "Protocol", "Synthetic", "Compression", "Ledger", "Backends"]),
    ],
    // Exact versions, so that the same sources make the same program. The last three are what swift-nio is built of:
    // they stand here because nothing else would hold them (Tests/Chart/test_image.py looks).
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", exact: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-atomics.git", exact: "1.3.0"),
        .package(url: "https://github.com/apple/swift-collections.git", exact: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system.git", exact: "1.8.1"),
    ],
    targets: [
        // Layer 0: the C libraries of the system.
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CTimer"),
        .systemLibrary(name: "CScan"),
        // Layer 1.
        .target(name: "Model", swiftSettings: fast),
        // Layer 2: pure.
        .target(name: "Formats", dependencies: ["CScan", "Model"], swiftSettings: fast),
        .target(
            name: "Protocol", dependencies: ["CISAL", "Model"], exclude: ["PROTOCOL.md"], swiftSettings: fast),
        .target(name: "ExportCore", dependencies: ["Model", "Protocol"], swiftSettings: fast),
        .target(name: "Threading", dependencies: ["CTimer", "Model"], swiftSettings: strict),
        .target(name: "Synthetic", dependencies: ["Model"], swiftSettings: strict),
        .target(name: "YAML", dependencies: ["CYAML"], swiftSettings: strict),
        .target(
            name: "Telemetry", dependencies: [.product(name: "CoreMetrics", package: "swift-metrics")],
            swiftSettings: strict),
        // Layer 3: one owner for each C library, and the configuration file.
        .target(name: "Crypto", dependencies: ["COpenSSL", "Model"], swiftSettings: strict),
        .target(name: "Compression", dependencies: ["CISAL", "Model"], swiftSettings: strict),
        .target(name: "HTTPClient", dependencies: ["CCurl", "Model", "Threading"], swiftSettings: strict),
        .target(name: "Ledger", dependencies: ["CSQLite", "Model", "Protocol", "Threading"], swiftSettings: fast),
        .target(name: "Secrets", dependencies: ["Model", "Threading"], swiftSettings: strict),
        .target(
            name: "Configuration",
            dependencies: ["Model", "ExportCore", "Threading", "YAML"], swiftSettings: strict),
        // Layer 4.
        .target(
            name: "Backends",
            dependencies: [
                "Model", "Formats", "ExportCore", "Crypto", "Compression", "HTTPClient", "Secrets", "Threading",
            ],
            swiftSettings: strict),
        .target(
            name: "KubernetesAPI",
            dependencies: [
                "Model", "Formats", "Protocol", "Crypto", "HTTPClient", "Secrets", "Threading", "YAML",
            ], swiftSettings: strict),
        .target(
            name: "PeerTransport",
            dependencies: [
                "Model", "Protocol", "Crypto", "HTTPClient", "Threading",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        // Layer 5: the shells.
        .target(
            name: "Coordinator",
            dependencies: [
                "Model", "Formats", "Protocol", "ExportCore", "Crypto", "KubernetesAPI", "Ledger", "PeerTransport",
                "Telemetry", "Threading",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .target(
            name: "ShardWorker",
            dependencies: [
                "Model", "Formats", "Protocol", "ExportCore", "Backends", "Ledger", "Telemetry", "Threading",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .target(
            name: "Sandbox",
            dependencies: [
                "Model", "Crypto", "Compression", "PeerTransport", "Threading",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "StatusEndpoint",
            dependencies: [
                "Model", "Formats", "ExportCore", "Telemetry", "Threading",
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
            ],
            // Into the binary, which stands alone: no directory of resources beside it.
            resources: [
                .embedInCode("Page/index.html"), .embedInCode("Page/style.css"), .embedInCode("Page/page.js"),
                .embedInCode("Page/draw.js"), .embedInCode("Page/favicon.svg"),
            ], swiftSettings: strict),
        // Layer 6.
        .executableTarget(
            name: "SiderealExport",
            dependencies: [
                "CMalloc", "Model", "Formats", "ExportCore", "Crypto", "HTTPClient", "Ledger", "Configuration",
                "Secrets", "Backends", "KubernetesAPI", "PeerTransport", "Protocol", "Coordinator", "ShardWorker",
                "Sandbox", "StatusEndpoint", "Synthetic", "Telemetry", "Threading",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        // Not part of the product; the other benchmarks are in a package of their own.
        .executableTarget(
            name: "peer-bench", dependencies: ["Model", "PeerTransport", "Threading"], path: "benchmarks/PeerBench",
            swiftSettings: strict),
        // Tests.
        .testTarget(name: "ModelTests", dependencies: ["Model"], swiftSettings: strict),
        .testTarget(
            name: "FormatsTests", dependencies: ["Formats", "Model", "Synthetic"], exclude: ["Golden"],
            swiftSettings: fast),
        // What computes for minutes is optimized, what states expectations is not: optimizing that takes as long again.
        .target(
            name: "ExportCoreWorlds", dependencies: ["ExportCore", "Model", "Protocol"], path: "Tests/ExportCoreWorlds",
            swiftSettings: fast),
        .testTarget(
            name: "ExportCoreTests", dependencies: ["ExportCore", "ExportCoreWorlds", "Model", "Protocol"],
            swiftSettings: strict),
        .testTarget(name: "ProtocolTests", dependencies: ["Protocol", "Model"], swiftSettings: fast),
        .testTarget(name: "CryptoTests", dependencies: ["Crypto", "Compression", "Model"], swiftSettings: strict),
        .testTarget(name: "HTTPClientTests", dependencies: ["HTTPClient", "Model"], swiftSettings: strict),
        .target(name: "CrashDisk", dependencies: ["CSQLite"], path: "Tests/CrashDisk"),
        .testTarget(
            name: "LedgerTests", dependencies: ["Ledger", "Model", "Protocol", "CrashDisk"], swiftSettings: strict),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Configuration", "ExportCore", "Secrets", "Model"],
            swiftSettings: strict),
        .testTarget(name: "YAMLTests", dependencies: ["YAML", "Model"], swiftSettings: strict),
        .testTarget(name: "SyntheticTests", dependencies: ["Synthetic", "Model"], swiftSettings: strict),
        .testTarget(
            name: "BackendsTests",
            dependencies: [
                "Backends", "HTTPClient", "Compression", "Crypto", "ExportCore", "Formats", "Secrets", "Model",
                "Threading",
            ], exclude: ["Golden"], swiftSettings: strict),
        .testTarget(
            name: "KubernetesAPITests",
            dependencies: [
                "KubernetesAPI", "Coordinator", "Crypto", "ExportCore", "Formats", "HTTPClient", "Model", "Protocol",
                "Threading",
            ], swiftSettings: strict),
        .testTarget(
            name: "SandboxTests", dependencies: ["Sandbox", "Compression", "Crypto", "Model"], swiftSettings: strict),
        .testTarget(
            name: "PeerTransportTests",
            dependencies: [
                "PeerTransport", "Protocol", "COpenSSL", "Crypto", "Model",
                .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                // What swift-nio is built of, so that somebody uses what is fixed above.
                .product(name: "Atomics", package: "swift-atomics"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "SystemPackage", package: "swift-system"),
            ], swiftSettings: strict),
        .testTarget(
            name: "CoordinatorTests",
            dependencies: [
                "Backends", "Coordinator", "ExportCore", "Formats", "KubernetesAPI", "Ledger", "Model", "PeerTransport",
                "Protocol", "ShardWorker", "Synthetic", "Telemetry", "Threading",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ShardWorkerTests",
            dependencies: [
                "ShardWorker", "Backends", "ExportCore", "Formats", "Ledger", "Model", "Protocol", "Synthetic",
                "Threading",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "TelemetryTests",
            dependencies: ["Telemetry", .product(name: "CoreMetrics", package: "swift-metrics")], swiftSettings: strict),
        .testTarget(
            name: "StatusEndpointTests",
            dependencies: [
                "StatusEndpoint", "ExportCore", "HTTPClient", "Model", "Telemetry", "Threading",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "CoreMetrics", package: "swift-metrics"),
            ], swiftSettings: strict),
        .target(
            name: "Simulation",
            dependencies: ["Coordinator", "ExportCore", "Formats", "KubernetesAPI", "Model", "Protocol"],
            path: "Tests/Simulation",
            swiftSettings: strict),
        .executableTarget(
            name: "simulate", dependencies: ["Simulation"], path: "Tests/Simulate", swiftSettings: strict),
        .testTarget(name: "TidyTests", swiftSettings: fast),
    ],
    swiftLanguageModes: [.v6]
)
