import Backends
import Model
import Testing

@Suite struct ConnectionBoundsTests {
    private func target(
        _ backend: BackendKind, _ host: String, _ concurrency: Int, port: Int = 443, acknowledge: Bool = false
    ) -> Target {
        var target = Target(
            name: "t", backend: backend, format: .json,
            endpoint: Endpoint(scheme: "https", host: host, port: port, path: ""))
        target.maxConcurrency = concurrency
        target.acknowledge = acknowledge
        return target
    }

    @Test func smallOnesHaveTheDefaults() {
        for targets in [[], [target(.splunk, "a", 1)], [target(.syslog, "a", 64)], [target(.file, "", 1)]] {
            let bounds = ConnectionBounds(targets)
            #expect(bounds.perHost == 16 && bounds.total == 64)
        }
    }

    /// What is configured fits, for each host and for all together, with room for requests that deliver nothing.
    @Test func everythingConfiguredFits() {
        let two = [target(.splunk, "siem", 64, port: 8088), target(.elasticsearch, "SIEM", 40, port: 8088)]
        let bounds = ConnectionBounds(two + [target(.elasticsearch, "siem", 64, port: 9200), target(.s3, "s3", 8)])
        #expect(bounds.perHost > 64 + 40 && bounds.perHost < 64 + 40 + 16)
        #expect(bounds.total > 64 + 40 + 64 + 8 && bounds.total < 64 + 40 + 64 + 8 + 32)
    }

    /// Acknowledged events go over one connection of the target's own.
    @Test func aClientOfItsOwnDoesNotCount() {
        #expect(ConnectionBounds([target(.splunk, "siem", 64, acknowledge: true)]).perHost == 16)
    }
}
