import HTTPClient
import Model
import Testing

@testable import KubernetesAPI

/// How a feed says that it stands, before a server that fails at lists and at watches each for itself.
@Suite(.timeLimit(.minutes(2))) struct ObjectFeedTests {
    /// A server whose answers change, and a feed that reads it.
    private final class Bench: Sendable {
        let list: Mutexed<CannedServer.Answer>
        let watch: Mutexed<CannedServer.Answer>
        let server: CannedServer
        let feed: ObjectFeed
        private let client: KubernetesClient

        init(longestPause: UInt64 = 20) throws {
            let list = Mutexed(CannedServer.Answer.status(500))
            let watch = Mutexed(CannedServer.Answer.silence(60_000))
            (self.list, self.watch) = (list, watch)
            server = try CannedServer { Bench.isWatch($0) ? watch.value : list.value }
            let access = ClusterAccess(
                server: "http://127.0.0.1:\(server.port)", tls: TLSSettings(), user: .token(Secret("t")), proxy: "",
                origin: "a test")
            client = KubernetesClient(access, environment: .none, seed: 1)
            var settings = ListWatch.Settings()
            (settings.firstPause, settings.longestPause) = (longestPause, longestPause)
            feed = ObjectFeed(client, .probeResults, settings: settings, seed: 1)
        }

        static func isWatch(_ head: String) -> Bool { head.contains("watch=1") }

        /// So many lists, or watches, were asked for.
        func asked(_ isWatch: Bool) -> Int { server.requests.count { Bench.isWatch($0) == isWatch } }

        /// What the feed has to tell by now.
        func told() async -> [String] {
            var told: [String] = []
            while let output = await feed.poll(pages: true) {
                switch output {
                case .restarted: told.append("restarted")
                case .relisted: told.append("relisted")
                case .page: told.append("page")
                case .changes: told.append("changes")
                case .listed: told.append("listed")
                case .selectorUnknown: told.append("selector")
                case .trouble: told.append("trouble")
                }
            }
            return told
        }

        /// Waits until the feed has told this.
        func hear(_ word: String) async throws {
            try await until(word) { await told().contains(word) }
        }

        /// Since when the feed fails, once it does, and has failed three times more.
        func failing(_ isWatch: Bool) async throws -> Tick? {
            try await until("it fails") { await feed.standing.failingSince != nil }
            let since = await feed.standing.failingSince
            let before = asked(isWatch)
            try await until("it fails again") { asked(isWatch) >= before + 3 }
            return since
        }

        func until(_ what: String, _ isSo: () async -> Bool) async throws {
            for _ in 0..<4_000 {
                if await isSo() { return }
                try await Task.sleep(for: .milliseconds(5))
            }
            Issue.record("waited in vain: \(what)")
            throw CancellationError()
        }

        func end() async {
            await feed.close()
            await client.shutdown()
            server.stop()
        }
    }

    private static let page = CannedServer.Answer.status(
        200, body: String(decoding: Samples.list([Samples.object()]), as: UTF8.self))
    private static let event = Samples.event("ADDED", Samples.object(version: "200"))

    private func withBench(longestPause: UInt64 = 20, _ body: (Bench) async throws -> Void) async throws {
        let bench = try Bench(longestPause: longestPause)
        do {
            try await body(bench)
        } catch {
            await bench.end()
            throw error
        }
        await bench.end()
    }

    @Test func listsFailSinceTheFirstOfThem() async throws {
        try await withBench { bench in
            #expect(await bench.feed.standing.failingSince == nil)
            #expect(await bench.told().first == "restarted")
            let since = try await bench.failing(false)
            #expect(await bench.feed.standing.failingSince == since)
            bench.list.change { $0 = Self.page }
            try await bench.until("a page is there") { await bench.feed.standing.failingSince == nil }
            #expect(await bench.told() == ["trouble", "page", "listed"], "failures that nobody heard of are one")
            // A watch that is asked for, and not answered, fails as little as it tells.
            try await bench.until("a watch is asked for") { bench.asked(true) > 0 }
            #expect(await bench.feed.standing == ObjectFeed.Standing(failingSince: nil, isWatching: false))
        }
    }

    @Test func aListSaysNothingOfTheWatch() async throws {
        try await withBench { bench in
            bench.list.change { $0 = Self.page }
            bench.watch.change { $0 = .status(500) }
            try await bench.hear("listed")
            let since = try await bench.failing(true)
            await bench.feed.relist()
            try await bench.hear("listed")
            #expect(await bench.feed.standing.failingSince == since)
            bench.watch.change { $0 = .unfinished(Self.event) }
            try await bench.until("something is there") { await bench.feed.standing.failingSince == nil }
            #expect(await bench.feed.standing.isWatching)
            try await bench.hear("changes")
            #expect(await bench.feed.standing == ObjectFeed.Standing(failingSince: nil, isWatching: true))
        }
    }

    @Test func theWatchSaysNothingOfLists() async throws {
        try await withBench { bench in
            bench.list.change { $0 = Self.page }
            // One after the other, each of which ends in good order.
            bench.watch.change { $0 = .status(200, body: Self.event) }
            try await bench.hear("listed")
            bench.list.change { $0 = .status(500) }
            await bench.feed.relist()
            let since = try await bench.failing(false)
            for _ in 0..<3 { try await bench.hear("changes") }
            #expect(await bench.feed.standing.failingSince == since)
            bench.list.change { $0 = Self.page }
            try await bench.until("a page is there") { await bench.feed.standing.failingSince == nil }
        }
    }

    @Test func bothFailSinceTheEarlier() async throws {
        try await withBench { bench in
            bench.list.change { $0 = Self.page }
            bench.watch.change { $0 = .status(500) }
            try await bench.hear("listed")
            let since = try await bench.failing(true)
            bench.list.change { $0 = .status(500) }
            let before = bench.asked(false)
            await bench.feed.relist()
            try await bench.until("lists fail too") { bench.asked(false) >= before + 3 }
            #expect(await bench.feed.standing.failingSince == since)
            // One that has nothing to tell and ends in good order has not failed.
            bench.watch.change { $0 = .status(200, body: "") }
            try await bench.until("only lists fail") { await bench.feed.standing.failingSince != since }
            let later = try #require(await bench.feed.standing.failingSince)
            #expect(since.map { later > $0 } == true)
        }
    }

    @Test func aWatchThatHasEndedIsNoneUntilTheNextOneIsAnswered() async throws {
        // Whoever has failed once is not back within this test.
        try await withBench(longestPause: 3_600_000) { bench in
            bench.list.change { $0 = Self.page }
            bench.watch.change { $0 = .status(200, body: "<html>\n") }
            try await bench.hear("trouble")
            let standing = await bench.feed.standing
            #expect(standing.failingSince != nil && !standing.isWatching)
        }
    }
}
