import Crypto
import Testing

@testable import PeerTransport

@Suite struct PeerIdentityTests {
    private func facts(_ uris: [String], _ hosts: [String] = []) -> CertificateFacts {
        CertificateFacts(subject: "/CN=worker.sidereal-export", serial: "01", notAfter: 0, uris: uris, dnsNames: hosts)
    }

    private static let good: [(uris: [String], hosts: [String], role: PeerRole, name: String?, domain: String?)] = [
        (["spiffe://prod.example/sidereal-export/worker/w-0"], [], .worker, "w-0", "prod.example"),
        (["SPIFFE://Prod.Example/sidereal-export/coordinator/C_1.a"], [], .coordinator, "C_1.a", "prod.example"),
        // A SPIFFE ID decides alone.
        (["spiffe://d/sidereal-export/worker/w"], ["c.coordinator.sidereal-export.svc"], .worker, "w", "d"),
        // Other URIs are not ours to judge.
        (["https://example.com/"], ["w0.worker.sidereal-export"], .worker, "w0", nil),
        ([], ["worker.sidereal-export"], .worker, nil, nil),
        ([], ["coordinator.sidereal-export.svc.cluster.local"], .coordinator, nil, nil),
        ([], ["*.worker.sidereal-export.svc"], .worker, nil, nil),
        ([], ["W-3.Worker.Sidereal-Export.svc", "w-3.worker.sidereal-export"], .worker, "w-3", nil),
        ([], ["worker.sidereal-export", "w-3.worker.sidereal-export", "localhost"], .worker, "w-3", nil),
    ]

    @Test func goodNames() throws {
        for sample in Self.good {
            let identity = try PeerIdentity(facts(sample.uris, sample.hosts))
            #expect(identity.role == sample.role)
            #expect(identity.name == sample.name)
            #expect(identity.trustDomain == sample.domain)
        }
    }

    @Test(arguments: [
        "spiffe://d/sidereal-export/worker", "spiffe://d/sidereal-export/worker/",
        "spiffe://d/sidereal-export/worker/a/b",
        "spiffe:///sidereal-export/worker/a", "spiffe://d/other/worker/a", "spiffe://d/sidereal-export/admin/a",
        "spiffe://d/sidereal-export/Worker/a", "spiffe://d/sidereal-export/worker/a%2fb",
        "spiffe://d/sidereal-export/worker/..", "spiffe://d/sidereal-export/worker/a?x",
        "spiffe:d/sidereal-export/worker/a",
        "spiffe://d@e/sidereal-export/worker/a", "spiffe://d:1/sidereal-export/worker/a",
        "spiffe://d/sidereal-export/worker/a\0b",
        "spiffe://d/sidereal-export/worker/" + String(repeating: "a", count: 256),
    ])
    func badSPIFFE(uri: String) {
        // The host name beside it would do, but a SPIFFE ID is judged alone.
        let mistake = #expect(throws: PeerIdentity.Mistake.self) {
            _ = try PeerIdentity(facts([uri], ["w.worker.sidereal-export"]))
        }
        #expect(mistake?.why.contains("is not spiffe://") == true)
        #expect(mistake?.why.contains("\0") == false)
    }

    @Test(arguments: [
        [], ["localhost"], ["worker"], ["worker.sidereal"], ["a.b.worker.sidereal-export"], ["sidereal-export.worker"],
        [".worker.sidereal-export"], ["worker.sidereal-export."], ["a\0.worker.sidereal-export"],
        ["worker.sidereal-export\0.example.com"], ["a*.worker.sidereal-export"], ["worker.sidereal-exports"],
    ])
    func hostsThatNameNoRole(hosts: [String]) {
        let mistake = #expect(throws: PeerIdentity.Mistake.self) { _ = try PeerIdentity(facts([], hosts)) }
        #expect(mistake?.why.contains("names no role") == true)
    }

    @Test func ambiguousNames() {
        let samples: [([String], [String], String)] = [
            (["spiffe://d/sidereal-export/worker/a", "spiffe://d/sidereal-export/worker/b"], [], "2 URI names"),
            (["spiffe://d/sidereal-export/worker/a", "https://x/"], [], "2 URI names"),
            ([], ["a.worker.sidereal-export", "a.coordinator.sidereal-export"], "both roles"),
            ([], ["a.worker.sidereal-export", "b.worker.sidereal-export"], "more than one name"),
        ]
        for (uris, hosts, words) in samples {
            let mistake = #expect(throws: PeerIdentity.Mistake.self) { _ = try PeerIdentity(facts(uris, hosts)) }
            #expect(mistake?.why.contains(words) == true)
        }
    }

    @Test func eachRoleAdmitsTheOtherAlone() throws {
        let coordinator = try PeerIdentity(facts(["spiffe://d/sidereal-export/coordinator/c"]))
        let worker = facts(["spiffe://d/sidereal-export/worker/w"])
        #expect(coordinator.objection(to: worker) == nil)
        #expect(coordinator.objection(to: facts([], ["w.worker.sidereal-export"])) == nil)
        #expect(try PeerIdentity(worker).objection(to: worker)?.contains("one of a worker") == true)
        #expect(
            coordinator.objection(to: facts(["spiffe://e/sidereal-export/worker/w"]))
                == "its trust domain is e, ours is d")
        #expect(coordinator.objection(to: facts([]))?.contains("names no role") == true)
    }
}
