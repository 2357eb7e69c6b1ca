import Testing

@testable import Coordinator
@_spi(NextRelease) @testable import Protocol

/// A rolling update with the real processes' shells: members of this release and of the next one, in any mixture, over real sockets.
@Suite(.serialized) struct MixedReleaseTests {
    /// Coordinators first, workers first, and in turn: each to the next release, and each back.
    @Test(arguments: [["c1", "c0", "w0", "w1"], ["w0", "w1", "c1", "c0"], ["c1", "w0", "c0", "w1"]])
    func membersAreReplacedOneByOneThereAndBack(order: [String]) async throws {
        try await withStoreDirectory { directory in
            let cluster = MixedCluster(directory)
            for name in ["c0", "c1", "w0", "w1"] {
                try await cluster.start(name, .current)
                // It is the one that leads.
                if name == "c0" { await until("it leads") { await cluster.leader() != nil } }
            }
            cluster.export(100)
            await cluster.settle("before the update")
            var mixtures: Set<[String]> = []
            for release in [ProtocolRelease.next, .current] {
                for name in order {
                    let why = "with \(name) of \(release.versions)"
                    // Some are under way when it goes.
                    cluster.export(300)
                    try await cluster.stop(name)
                    try await cluster.start(name, release)
                    cluster.export(100)
                    await cluster.settle(why)
                    await until("somebody leads \(why)") { await cluster.leader() != nil }
                    let leader = try #require(await cluster.leader())
                    let versions = cluster.versions(with: leader.release)
                    #expect(versions.values.allSatisfy { $0 != nil })
                    await until("each session has the highest version that both know \(why)") {
                        cluster.wire.versions == versions.compactMapValues { $0 }
                    }
                    mixtures.insert(
                        [leader.release == .next ? "next" : "current"]
                            + versions.sorted { $0.key < $1.key }.map { "\($0.value ?? 0)" })
                    await until("probes are admitted \(why)") { await cluster.isOpen() }
                }
            }
            // Both sides were told what they do not know, and went on.
            #expect(cluster.wire.unknown.said > 0 && cluster.wire.unknown.heard > 0)
            #expect(mixtures.contains(["next", "2", "2"]) && mixtures.contains { $0.contains("1") && $0[0] == "next" })
            try await cluster.stopAll()
            #expect(cluster.receiver.distinct == cluster.records)
        }
    }
}
