import Model

extension TargetReader {
    func readBatch(_ batch: inout BatchBounds) {
        let given = section.section("batch")
        given?.refuseUnknownKeys(["maxRecords", "maxBytes", "maxAge"])
        if let count = given?.whole("maxRecords", in: 1...1_000_000) { batch.maxRecords = count.value }
        if let age = given?.duration("maxAge", in: 1...3_600_000) { batch.maxAgeMilliseconds = age.value }
        if let bytes = given?.size("maxBytes", in: 1...(1 << 30)) { batch.maxBytes = bytes.value }
        guard batch.maxBytes > limits.maxQueuedBytesPerTarget else { return }
        let size = Quantity.shownBytes(batch.maxBytes)
        let limit = Quantity.shownBytes(limits.maxQueuedBytesPerTarget)
        let isGiven = given?.field("maxBytes") != nil
        section.problems.add(
            (given ?? section).position(of: "maxBytes"), section.path("batch") + ".maxBytes",
            "\(size)\(isGiven ? "" : " (the default)") is more than limits.maxQueuedBytesPerTarget, which is \(limit)",
            hint: "lower the batch's size or raise the limit")
    }

    func readConcurrency(_ target: inout Target) {
        guard let given = section.section("concurrency") else { return }
        given.refuseUnknownKeys(["min", "max"])
        let low = given.whole("min", in: 1...64)
        let high = given.whole("max", in: 1...64)
        if let high { target.maxConcurrency = high.value }
        if let high, target.backend == .file, high.value > 1 {
            given.problems.add(
                high.position, high.keyPath, "\(high.value), but a file is written by one batch at a time",
                hint: "remove `concurrency`, or set `max` to 1")
        }
        // A minimum alone raises nothing by itself: the maximum must be said as well where it is too low.
        target.minConcurrency = low?.value ?? min(target.minConcurrency, target.maxConcurrency)
        if let low, low.value > target.maxConcurrency {
            let isDefault = high == nil ? " (the default)" : ""
            given.problems.add(
                low.position, low.keyPath,
                "\(low.value) is more than max, which is \(target.maxConcurrency)\(isDefault)",
                hint: "lower `min` or raise `max`")
        }
    }

    func readRetry(_ retry: inout RetrySettings) {
        guard let given = section.section("retry") else { return }
        given.refuseUnknownKeys(["initial", "max", "window"])
        let first = given.duration("initial", in: 10...3_600_000)
        let longest = given.duration("max", in: 10...86_400_000)
        let window = given.duration("window", in: 1_000...2_592_000_000)
        if let first { retry.initialMilliseconds = first.value }
        if let longest { retry.maxMilliseconds = longest.value }
        if let window { retry.windowMilliseconds = window.value }
        order(given, ("initial", retry.initialMilliseconds, first), ("max", retry.maxMilliseconds, longest))
        order(given, ("max", retry.maxMilliseconds, longest), ("window", retry.windowMilliseconds, window))
    }

    /// Reports a lower setting that is greater than the upper one, at the one of the two that was given.
    private func order(
        _ given: Section, _ low: (key: String, value: UInt64, given: Located<UInt64>?),
        _ high: (key: String, value: UInt64, given: Located<UInt64>?)
    ) {
        guard low.value > high.value, let at = low.given ?? high.given else { return }
        func text(_ side: (key: String, value: UInt64, given: Located<UInt64>?)) -> String {
            Quantity.shownMilliseconds(side.value) + (side.given == nil ? " (the default)" : "")
        }
        given.problems.add(
            at.position, at.keyPath, "\(low.key) is \(text(low)), more than \(high.key), which is \(text(high))",
            hint: "expected initial <= max <= window")
    }

    func readTransport(_ target: inout Target) {
        let backend = target.backend
        if let kind = section.choice("compression", as: CompressionKind.self) {
            if Capabilities.supports(kind.value, for: backend) {
                // Files have a key of their own.
                if backend != .file { target.compression = kind.value }
            } else {
                let (why, hint) = Self.explainCompression(backend)
                section.problems.add(
                    kind.position, kind.keyPath,
                    "`\(kind.value.rawValue)` for the backend `\(backend.rawValue)` is \(why)", hint: hint)
            }
        }
        if let timeout = section.duration("timeout", in: 100...3_600_000) {
            target.timeoutMilliseconds = timeout.value
        }
        if let tls = section.section("tls") {
            tls.refuseUnknownKeys(["serverName"]) { Self.explainTLS($0) }
            target.tlsServerName = serverName(tls)
        }
        if let proxy = section.text("proxy") {
            do throws(AddressMistake) {
                target.proxy = try EndpointReader.proxy(proxy.value, to: target.endpoint)
            } catch {
                section.problems.add(proxy.position, proxy.keyPath, error.message, hint: error.hint)
            }
        }
    }

    private static func explainCompression(_ backend: BackendKind) -> (why: String, hint: String) {
        switch backend {
        case .file: ("not possible: there are no requests", "set `gzip: true` to compress the files")
        case .syslog: ("not possible: the protocol has no compression", "use `none`")
        case .splunk, .elasticsearch, .s3: (Capabilities.notAvailable, "use `none`")
        }
    }

    private func serverName(_ tls: Section) -> String? {
        guard let name = tls.text("serverName", maxBytes: 253) else { return nil }
        guard name.value.unicodeScalars.allSatisfy({ $0.isWordASCII || $0 == "." }) else {
            tls.problems.add(name.position, name.keyPath, "\(shown(name.value)) is not a host name")
            return nil
        }
        return name.value
    }

    private static func explainTLS(_ key: String) -> (message: String, hint: String?)? {
        let word = key.lowercased()
        if word.hasPrefix("insecure") || word.contains("verif") {
            return ("the server's certificate is always checked", "give its CA as `ca.crt` in the secret")
        }
        guard word.hasPrefix("ca") || word.hasPrefix("cert") || word.hasPrefix("key") else { return nil }
        return ("certificates are not named here", "put them into the secret as `ca.crt`, or `tls.crt` with `tls.key`")
    }

    /// Words for credentials, which never belong into this file.
    private static let credentials = [
        "token", "hectoken", "password", "username", "user", "apikey", "accesskeyid", "secretaccesskey",
        "sessiontoken", "credentials", "secret",
    ]

    /// A backend or format that is nil is not known, and every key of any may be meant for it.
    func refuseUnknownKeys(_ backend: BackendKind?, _ format: FormatKind?) {
        let known = Capabilities.targetKeys.filter { backend.map($0.backends.contains) ?? true }.map(\.key)
        let ofFormat = Capabilities.formatKeys.map(\.key).filter { key in
            format.map { Capabilities.means(key, $0, backend) } ?? true
        }
        section.refuseUnknownKeys(known + ofFormat) { key in
            explain(key, backend) ?? format.flatMap { explain(key, format: $0) }
        }
    }

    private func explain(_ key: String, _ backend: BackendKind?) -> (message: String, hint: String?)? {
        if let other = Capabilities.targetKeys.first(where: { $0.key == key }), let backend {
            if backend == .file, other.backends.count > 2 {
                return ("has no meaning for the backend `file`, which makes no connection", "remove the key")
            }
            let one = other.backends.count == 1
            return (
                "belongs to the \(one ? "backend" : "backends") \(Self.list(other.backends)); the backend here is"
                    + " `\(backend.rawValue)`", "remove the key"
            )
        }
        if Self.credentials.contains(key.lowercased()) {
            return ("credentials do not belong in this file", "put them into the secret that `secretRef` names")
        }
        return nil
    }
}
