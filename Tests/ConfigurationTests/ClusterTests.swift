import Configuration
import ExportCore
import Model
import Testing

/// The section `cluster`, and what the gate has of it and of `audit`.
@Suite struct ClusterTests {
    private func read(_ head: String) throws -> Configuration {
        try Configuration.parse(file(head: head), name: "f")
    }

    @Test func defaultsNeedNoTouching() throws {
        let configuration = try read("")
        let cluster = configuration.cluster
        #expect(cluster == ClusterSettings())
        #expect(cluster.shards == 256 && cluster.windowBytes == 16 << 20)
        #expect(cluster.listen.description == "0.0.0.0:7443" && cluster.advertise == nil)
        #expect(cluster.coordinators.map(\.description) == ["127.0.0.1:7443"])
        #expect((cluster.leaseDuration, cluster.renewDeadline, cluster.retryPeriod) == (15_000, 10_000, 2_000))
        #expect(cluster.workerLease == 15_000 && cluster.releaseDeadline == 5_000)
        #expect((cluster.metricsPort, cluster.healthPort, cluster.endpointHost) == (8_080, 8_081, "0.0.0.0"))
        #expect(cluster.peerCertificates == "/etc/sidereal/peer")
        // What follows from the default leases is what the gate has by itself.
        #expect(configuration.gate == ExportGateSettings(impactLevel: .high))
    }

    @Test func readsEveryKey() throws {
        let configuration = try read(
            """
            cluster:
              shards: 64
              coordinators: [c-0.export:7443, C-1.export, "[fd00::7]:9000"]
              listen: 127.0.0.1:7000
              advertise: c-0.export:7000
              lease: {duration: 3s, renewDeadline: 2s, retryPeriod: 500ms}
              workerLease: 2s
              releaseDeadline: 1s
              windowBytes: 4MiB
              endpoint: {host: "[::1]", metrics: 9080, health: 9081}
              peerCertificates: /run/peer
            audit: {failClosedOnExportFailure: false, resumeOn: recovery, failureThreshold: 9, ageLimit: 30m}

            """)
        let cluster = configuration.cluster
        #expect(cluster.shards == 64 && cluster.windowBytes == 4 << 20)
        #expect(cluster.coordinators.map(\.description) == ["c-0.export:7443", "c-1.export:7443", "[fd00::7]:9000"])
        #expect(cluster.listen == NetworkAddress(host: "127.0.0.1", port: 7_000))
        #expect(cluster.advertise == NetworkAddress(host: "c-0.export", port: 7_000))
        #expect((cluster.leaseDuration, cluster.renewDeadline, cluster.retryPeriod) == (3_000, 2_000, 500))
        #expect(cluster.workerLease == 2_000 && cluster.releaseDeadline == 1_000)
        #expect((cluster.metricsPort, cluster.healthPort, cluster.endpointHost) == (9_080, 9_081, "::1"))
        #expect(cluster.peerCertificates == "/run/peer")
        let gate = configuration.gate
        #expect(!gate.failClosed && gate.resumeOn == .recovery && gate.failureThreshold == 9)
        #expect(gate.ageLimit == 1_800_000 && gate.recoveryAge == 120_000)
        #expect(gate.leaseSeconds == 9 && gate.stability == 1_333 && gate.retry == 500)
    }

    @Test(arguments: [
        ("high", true, ResumeOn.acknowledgement), ("moderate", false, .acknowledgement), ("low", false, .recovery),
    ])
    func theGateFollowsTheImpactLevel(_ level: String, _ failClosed: Bool, _ resume: ResumeOn) throws {
        let gate = try read("global: {impactLevel: \(level)}\n").gate
        #expect(gate.failClosed == failClosed && gate.resumeOn == resume)
    }

    @Test func leasesAreHeldAgainstOneAnother() throws {
        try expect(
            file(head: "cluster: {lease: {duration: 10s}}"), at: (5, 29), "cluster.lease.duration",
            "duration is 10s, not more than renewDeadline, which is 10s (the default): two leaders could act at once",
            hint: "expected duration > renewDeadline > 1.2 x retryPeriod")
        try expect(
            file(head: "cluster: {lease: {renewDeadline: 20s}}"), at: (5, 34), "cluster.lease.renewDeadline",
            "duration is 15s (the default), not more than renewDeadline, which is 20s", hint: "15s, 10s and 2s")
        try expect(
            file(head: "cluster: {lease: {retryPeriod: 9s}}"), at: (5, 32), "cluster.lease.retryPeriod",
            "renewDeadline is 10s (the default), not more than 1.2 times retryPeriod, which is 9s", hint: "1.2 x")
        try expect(
            file(head: "cluster: {lease: {renewDeadline: 2400ms}}"), at: (5, 34), "cluster.lease.renewDeadline",
            "renewDeadline is 2400ms, not more than 1.2 times retryPeriod, which is 2s (the default)", hint: "1.2 x")
        #expect(problems(file(head: "cluster: {lease: {renewDeadline: 2401ms}}")).isEmpty)
    }

    @Test func addressesThatNobodyCanConnectTo() throws {
        try expect(
            file(head: "cluster: {advertise: \"0.0.0.0:7443\"}"), at: (5, 22), "cluster.advertise",
            "stands for every address", hint: "by which this coordinator is reached")
        try expect(
            file(head: "cluster: {coordinators: [a, \"[::]:1\"]}"), at: (5, 29), "cluster.coordinators[1]",
            "stands for every address", hint: "by which")
        try expect(
            file(head: "cluster: {coordinators: [a, \"a:7443\"]}"), at: (5, 29), "cluster.coordinators[1]",
            "`a:7443` is in the list already", hint: "keep one")
        try expect(
            file(head: "cluster: {coordinators: []}"), at: (5, 11), "cluster.coordinators", "no address",
            hint: "add at least one")
        try expect(
            file(head: "cluster: {coordinators: a}"), at: (5, 25), "cluster.coordinators", "expected a list",
            hint: "start each entry with `- `")
        try expect(
            file(head: "cluster: {coordinators: [1]}"), at: (5, 26), "cluster.coordinators[0]",
            "expected text, found a number", hint: "in quotes")
        try expect(
            file(head: "cluster: {listen: \"https://a:1\"}"), at: (5, 19), "cluster.listen", "is not an address",
            hint: "leave out scheme")
        try expect(
            file(head: "cluster: {listen: \"a:0\"}"), at: (5, 19), "cluster.listen", "`:0` is not a port",
            hint: "1 to 65535")
        try expect(
            file(head: "cluster: {listen: \"::1\"}"), at: (5, 19), "cluster.listen", "several colons", hint: "brackets")
    }

    @Test func otherMistakes() throws {
        try expect(
            file(head: "cluster: {shards: 0}"), at: (5, 19), "cluster.shards", "from 1 to 4096, found `0`", hint: nil)
        try expect(
            file(head: "cluster: {endpoint: {metrics: 8081}}"), at: (5, 31), "cluster.endpoint.metrics",
            "the same port, 8081", hint: "a port of its own")
        try expect(
            file(head: "cluster: {endpoint: {host: \"a:80\"}}"), at: (5, 28), "cluster.endpoint.host",
            "is not a host alone", hint: "`metrics` and `health`")
        try expect(
            file(head: "cluster: {peerCertificates: peer}"), at: (5, 29), "cluster.peerCertificates",
            "`peer` is not an absolute directory", hint: "from the root")
        try expect(
            file(head: "cluster: {standalone: /a}"), at: (5, 11), "cluster.standalone", "command line only",
            hint: "`--standalone DIR`")
        try expect(
            file(head: "cluster: {retryPeriod: 2s}"), at: (5, 11), "cluster.retryPeriod", "belongs to `cluster.lease`",
            hint: "write `lease: {retryPeriod: …}`")
        try expect(
            file(head: "cluster: {worker_lease: 2s}"), at: (5, 11), "cluster.worker_lease", "unknown key",
            hint: "did you mean `workerLease`?")
        try expect(
            file(head: "audit: {failureThreshold: 0}"), at: (5, 27), "audit.failureThreshold",
            "from 1 to 1000 failed attempts", hint: nil)
        try expect(
            file(head: "audit: {ageLimit: 5}"), at: (5, 19), "audit.ageLimit", "expected 10s to 7d", hint: nil)
    }

    @Test func addressesOfTheCommandLine() throws {
        #expect(try NetworkAddress("127.0.0.1:0", allowsAnyPort: true) == NetworkAddress(host: "127.0.0.1", port: 0))
        #expect(try NetworkAddress("[::1]:0", allowsAnyPort: true).description == "[::1]:0")
        #expect(throws: AddressMistake.self) { try NetworkAddress("127.0.0.1:0") }
        #expect(throws: AddressMistake.self) { try NetworkAddress("user@a:1") }
        #expect(throws: AddressMistake.self) { try NetworkAddress("") }
    }
}
