internal import Model

/// What follows from the effectiveness alone, prepared once.
struct OCSFVerdicts: Sendable {
    private struct Texts {
        let severity: SealedBytes
        let status: SealedBytes
        let check: SealedBytes
    }

    private let texts: InlineArray<4, Texts>

    init() {
        texts = InlineArray { index in
            let effectiveness = Effectiveness(rawValue: UInt8(truncatingIfNeeded: index)) ?? .compromised
            let severity =
                switch effectiveness {
                case .effective: "\"severity_id\":1,\"severity\":\"Informational\""
                case .degraded: "\"severity_id\":3,\"severity\":\"Medium\""
                case .ineffective: "\"severity_id\":4,\"severity\":\"High\""
                case .compromised: "\"severity_id\":5,\"severity\":\"Critical\""
                }
            let status =
                switch effectiveness {
                case .effective: "\"status_id\":1,\"status\":\"Pass\""
                case .degraded: "\"status_id\":2,\"status\":\"Warning\""
                case .ineffective, .compromised: "\"status_id\":3,\"status\":\"Fail\""
                }
            return Texts(
                severity: SealedBytes(Array(",\(severity)".utf8)),
                status: SealedBytes(Array("\",\(status),\"status_code\":\"".utf8)),
                check: SealedBytes(Array("\"],\(status),\(severity)}".utf8)))
        }
    }

    /// `,"severity_id":…,"severity":"…"`.
    func severity(_ effectiveness: Effectiveness) -> SealedBytes { texts[Int(effectiveness.rawValue)].severity }
    /// The quote that ends the value before, the status, and `"status_code":"`.
    func status(_ effectiveness: Effectiveness) -> SealedBytes { texts[Int(effectiveness.rawValue)].status }
    /// What ends each check after the name of its standard.
    func check(_ effectiveness: Effectiveness) -> SealedBytes { texts[Int(effectiveness.rawValue)].check }
}
