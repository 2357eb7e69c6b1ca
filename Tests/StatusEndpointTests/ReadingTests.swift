import ExportCore
import Foundation
import StatusEndpoint
import Testing

/// Documents of coordinators of other releases than the one that reads.
@Suite struct ReadingTests {
    /// As the first release wrote it: without `unreadFiles`, `trouble` and `changes`.
    private static let first = #"""
        {"cluster":"prod-east","coordinator":{"address":"10.0.0.1:7443","name":"coordinator-0","program":"0.1.0",
        "role":"leader","upMilliseconds":60000},"feed":{"bytes":1600000,"files":2,"maxBytes":67108864,"records":1234,
        "waitingFiles":3},"gate":{"failClosed":true,"needsAcknowledgement":false,"reason":"","sinceMilliseconds":49000,
        "state":"open"},"leader":{"address":"10.0.0.1:7443","endpoint":"http://10.0.0.1:8080","name":"coordinator-0",
        "renewedMilliseconds":900,"sinceMilliseconds":50000,"term":7},"shards":[{"epoch":3,"owner":0,"state":"owned"},
        {"epoch":0,"state":"unowned","unownedMilliseconds":4000}],"targets":[{"backend":"splunk","backlog":5,
        "breaker":"closed","consecutiveFailures":0,"dead":0,"delivered":98000,"deliveredBytes":120000000,"failures":0,
        "format":"json","inFlight":2,"limit":4,"name":"soc-splunk","openBreakers":0,"queuedBytes":0,"reporting":1}],
        "time":"2026-01-02T03:04:05.678Z","version":1,"workers":[{"address":"10.0.0.9:4000","bytesInHand":0,"capacity":1,
        "fairShards":2.5,"heardMilliseconds":100,"identity":"worker-0","program":"","reason":"","shards":1,
        "state":"live","targets":[{"breaker":"closed","consecutiveFailures":0,"inFlight":2,"latencyMicroseconds":12000,
        "limit":4,"queuedBytes":0}]}]}
        """#

    private func object(_ json: String = first) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    }

    private func read(_ object: [String: Any]) throws -> ClusterStatus? {
        StatusReading.status(from: Array(try JSONSerialization.data(withJSONObject: object)))
    }

    @Test func aDocumentOfTheFirstReleaseIsRead() throws {
        let status = try #require(StatusReading.status(from: Array(Self.first.utf8)))
        #expect(status.feed.waitingFiles == 3 && status.feed.unreadFiles == 0 && status.feed.trouble.isEmpty)
        #expect(status.gate.state == .open && status.gate.changes == nil)
        #expect(status.workers[0].fairShards == 2.5 && status.workers[0].targets[0].latencyMicroseconds == 12_000)
        #expect(status.shards[1].unownedMilliseconds == 4_000 && status.targets[0].delivered == 98_000)
        #expect(status.leader?.term == 7 && status.history == nil)
    }

    @Test func whatThisReleaseWritesIsReadAsItIs() throws {
        let sample = ClusterStatus.sample()
        #expect(StatusReading.status(from: Array(try JSONEncoder().encode(sample))) == sample)
    }

    /// Whatever a later release adds, at every level.
    @Test func unknownFieldsAreSkipped() throws {
        func grown(_ value: Any) -> Any {
            if let list = value as? [Any] { return list.map(grown) }
            guard let object = value as? [String: Any] else { return value }
            var out = object.mapValues(grown)
            out["addedLater"] = ["deep": [1, -2, 2.5, NSNull(), true, "text"] as [Any]]
            return out
        }
        let document = try #require(grown(try object()) as? [String: Any])
        #expect(try read(document) == StatusReading.status(from: Array(Self.first.utf8)))
    }

    /// Each field of a list's members, of the gate and of the feed may have been added later, but for what names them.
    @Test func anyFieldMayBeMissing() throws {
        let required: [String: Set<String>] = [
            "": ["version", "coordinator"], "workers": ["identity", "state"], "targets": ["name"], "shards": ["state"],
        ]
        for (key, value) in try object() {
            var document = try object()
            document[key] = nil
            #expect((try read(document) != nil) == !(required[""]?.contains(key) ?? false), "without \(key)")
            if let inner = value as? [String: Any], ["gate", "feed"].contains(key) {
                for name in inner.keys {
                    var less = inner
                    less[name] = nil
                    document[key] = less
                    #expect(try read(document) != nil, "without \(key).\(name)")
                }
            }
            guard let list = value as? [[String: Any]] else { continue }
            for name in Set(list.flatMap(\.keys)) {
                document[key] = list.map { member in member.filter { $0.key != name } }
                #expect((try read(document) != nil) == !(required[key]?.contains(name) ?? false), "\(key)[].\(name)")
            }
        }
    }

    @Test func whatIsNoStatusIsRefused() throws {
        for text in ["", "[]", "{}", "null", #"{"version":1}"#, #"{"version":2,"coordinator":{}}"#, "<html>"] {
            #expect(StatusReading.status(from: Array(text.utf8)) == nil, "\(text)")
        }
        var later = try object()
        later["version"] = 2
        #expect(try read(later) == nil)
        later["version"] = 1
        later["workers"] = "none"
        #expect(try read(later) == nil)
    }

    /// A state of the gate that this release does not know admits nobody.
    @Test func aGateInAStateAddedLaterIsUnknown() throws {
        var document = try object()
        document["gate"] = ["state": "addedLater"]
        let status = try #require(try read(document))
        #expect(status.gate.state == .unknown && !status.gate.state.admits)
    }
}
