import Model
import Testing

@Suite struct SecretTests {
    private static let value = "hec-7d1c-very-secret"

    private struct Holder {
        var name = "soc"
        var secret = Secret(SecretTests.value)
        var optional: Secret? = Secret(SecretTests.value)
        var list = [Secret(SecretTests.value)]
        var map = ["token": Secret(SecretTests.value)]
    }

    private static func dumped(_ value: some Any) -> String {
        var text = ""
        dump(value, to: &text)
        return text
    }

    @Test func printsNothingOfItself() {
        let secret = Secret(Self.value)
        for text in [
            String(describing: secret), String(reflecting: secret), "\(secret)", secret.description,
            secret.debugDescription,
        ] {
            #expect(text == "<secret>")
        }
        #expect(!Self.dumped(secret).contains(Self.value))
        #expect(Mirror(reflecting: secret).children.isEmpty)
    }

    @Test func printsNothingFromInsideOfOthers() {
        let holder = Holder()
        for text in [
            String(describing: holder), String(reflecting: holder), "\(holder)", Self.dumped(holder),
            String(describing: holder.optional), String(reflecting: [holder.optional]), "\(holder.map)",
        ] {
            #expect(!text.contains(Self.value))
            #expect(text.contains("<secret>"))
        }
    }

    @Test func staysUsable() {
        #expect(Secret(Self.value).reveal() == Self.value)
        #expect(Secret("").isEmpty)
        #expect(!Secret("x").isEmpty)
        #expect(Secret("a") == Secret("a"))
        #expect(Secret("a") != Secret("b"))
    }
}

@Suite struct TickTests {
    @Test func addsMilliseconds() {
        #expect(Tick(nanoseconds: 5).adding(milliseconds: 3) == Tick(nanoseconds: 3_000_005))
        #expect(Tick(nanoseconds: 5).adding(milliseconds: 0) == Tick(nanoseconds: 5))
    }

    @Test func saturatesAtTheEndOfTime() {
        let end = Tick(nanoseconds: .max)
        #expect(Tick(nanoseconds: 0).adding(milliseconds: .max) == end)
        #expect(end.adding(milliseconds: 1) == end)
        #expect(end.adding(milliseconds: 0) == end)
        #expect(Tick(nanoseconds: .max - 1_000_000).adding(milliseconds: 1) == end)
        #expect(Tick(nanoseconds: .max - 1_000_001).adding(milliseconds: 1) == Tick(nanoseconds: .max - 1))
        #expect(Tick(nanoseconds: 0).adding(milliseconds: .max / 1_000_000).nanoseconds <= .max)
    }

    @Test func measuresWholeMillisecondsAndNeverBackwards() {
        let start = Tick(nanoseconds: 1_000_000)
        #expect(Tick(nanoseconds: 2_999_999).milliseconds(since: start) == 1)
        #expect(start.milliseconds(since: start) == 0)
        #expect(start.milliseconds(since: Tick(nanoseconds: .max)) == 0)
        #expect(start < Tick(nanoseconds: 1_000_001))
    }
}

@Suite struct PRNGTests {
    /// The numbers the authors' C program `splitmix64.c` gives (Vigna, prng.di.unimi.it).
    @Test func isSplitMix64() {
        var rng = PRNG(seed: 1_234_567)
        let numbers = (0..<5).map { _ in rng.next() }
        #expect(
            numbers == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
            ])
    }

    @Test func staysBelowTheBound() {
        var rng = PRNG(seed: 9)
        var seen: Set<UInt64> = []
        for _ in 0..<2_000 { seen.insert(rng.below(7)) }
        #expect(seen == Set(0..<7))
        #expect(rng.below(0) == 0)
        #expect(rng.below(1) == 0)
    }
}

@Suite struct ShardTests {
    private static func shard(_ uid: String, count: UInt16) -> UInt16 {
        let bytes = Array(uid.utf8)
        return ShardID.of(uid: bytes.span, 0..<bytes.count, count: count).number
    }

    /// Computed by a program of its own from the published definition of FNV-1a.
    @Test(arguments: [
        ("a", 192, 58_834), ("foobar", 153, 24_652),
        ("00000000-0000-4000-8000-000000000000", 169, 24_029),
        ("3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3", 120, 51_278),
        ("ffffffff-ffff-4fff-bfff-ffffffffffff", 136, 44_018),
    ])
    func staysWhereItIs(uid: String, of256: UInt16, of65535: UInt16) {
        #expect(Self.shard(uid, count: 256) == of256)
        #expect(Self.shard(uid, count: .max) == of65535)
        #expect(Self.shard(uid, count: 1) == 0)
    }

    /// Fowler, Noll and Vo's own definition, with wide arithmetic instead of wrapping.
    private static func reference(_ uid: String, count: UInt16) -> UInt16 {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in uid.utf8 { hash = (hash ^ UInt64(byte)).multipliedFullWidth(by: 1_099_511_628_211).low }
        return UInt16((hash ^ (hash >> 32)) % UInt64(count))
    }

    @Test func agreesWithTheDefinition() {
        var rng = PRNG(seed: 3)
        for _ in 0..<500 {
            let uid = String(rng.next(), radix: 16) + "-" + String(rng.next(), radix: 36)
            let count = UInt16(1 + rng.below(65_535))
            #expect(Self.shard(uid, count: count) == Self.reference(uid, count: count))
        }
    }

    @Test func looksOnlyAtItsRange() {
        let bytes = Array("xxfoobaryy".utf8)
        #expect(ShardID.of(uid: bytes.span, 2..<8, count: 256).number == Self.shard("foobar", count: 256))
    }

    @Test func spreadsEvenly() {
        var counts = [Int](repeating: 0, count: 256)
        var rng = PRNG(seed: 4)
        for _ in 0..<51_200 {
            counts[Int(Self.shard("\(rng.next())-\(rng.next())", count: 256))] += 1
        }
        // 200 expected each; five standard deviations are 71.
        #expect(counts.allSatisfy { 129...271 ~= $0 })
    }
}

@Suite struct TargetTests {
    @Test(arguments: [
        (
            Endpoint(scheme: "https", host: "splunk.example.com", port: 8088, path: ""),
            "https://splunk.example.com:8088"
        ),
        (Endpoint(scheme: "http", host: "::1", port: 80, path: "/es"), "http://[::1]:80/es"),
        (Endpoint(scheme: "file", host: "", port: 0, path: "/var/audit"), "file:///var/audit"),
    ])
    func endpointAsText(endpoint: Endpoint, base: String) {
        #expect(endpoint.base == base)
    }

    @Test(arguments: BackendKind.allCases)
    func defaultsAreBounded(backend: BackendKind) {
        let endpoint = Endpoint(scheme: "https", host: "h", port: 1, path: "")
        let target = Target(name: "t", backend: backend, format: .json, endpoint: endpoint)
        let limits = Limits()
        #expect(target.batch.maxRecords >= 1)
        #expect(target.batch.maxAgeMilliseconds >= 1)
        #expect(1...limits.maxQueuedBytesPerTarget ~= target.batch.maxBytes)
        #expect(1...target.maxConcurrency ~= target.minConcurrency)
        #expect(target.retry.initialMilliseconds <= target.retry.maxMilliseconds)
        #expect(target.retry.maxMilliseconds <= target.retry.windowMilliseconds)
    }

    /// The documented policy: 5 s, 5 min, 24 h; Splunk Cloud's body limit; one batch at risk of arriving twice.
    @Test func documentedDefaults() {
        let endpoint = Endpoint(scheme: "https", host: "h", port: 1, path: "")
        let target = Target(name: "t", backend: .splunk, format: .json, endpoint: endpoint)
        #expect(
            target.retry
                == RetrySettings(
                    initialMilliseconds: 5_000, maxMilliseconds: 300_000, windowMilliseconds: 86_400_000))
        #expect(target.batch.maxBytes == 900_000)
        #expect(target.maxConcurrency == 1)
    }
}
