/// Reads the section `cluster`.
struct ClusterReader {
    let root: Section

    static let keys = [
        "shards", "coordinators", "listen", "advertise", "lease", "workerLease", "releaseDeadline", "windowBytes",
        "endpoint", "peerCertificates",
    ]
    static let leaseKeys = ["duration", "renewDeadline", "retryPeriod"]
    static let endpointKeys = ["host", "metrics", "health"]

    /// One for each replica, and room to move them.
    private static let maxCoordinators = 16
    private static let maxPathBytes = 1_024
    /// Whoever misses one renewal has time for another: client-go demands the same (JitterFactor).
    private static let retryFactor = (numerator: UInt64(12), denominator: UInt64(10))

    /// The settings with their defaults; mistakes are reported.
    func read() -> ClusterSettings {
        var settings = ClusterSettings()
        guard let cluster = root.section("cluster") else { return settings }
        cluster.refuseUnknownKeys(Self.keys) { Self.explain($0) }
        if let shards = cluster.whole("shards", in: 1...4_096) { settings.shards = UInt16(shards.value) }
        readAddresses(cluster, &settings)
        readLease(cluster, &settings)
        if let lease = cluster.duration("workerLease", in: 400...120_000) { settings.workerLease = lease.value }
        if let release = cluster.duration("releaseDeadline", in: 100...300_000) {
            settings.releaseDeadline = release.value
        }
        if let bytes = cluster.size("windowBytes", in: (1 << 20)...(1 << 30)) { settings.windowBytes = bytes.value }
        readEndpoint(cluster, &settings)
        readCertificates(cluster, &settings)
        return settings
    }

    private static func explain(_ key: String) -> (message: String, hint: String?)? {
        switch key {
        case "standalone":
            ("is an option of the command line only", "start coordinators with `--standalone DIR`")
        case "identity": ("is an option of the command line only", "start the member with `--identity NAME`")
        case "duration", "renewDeadline", "retryPeriod":
            ("belongs to `cluster.lease`", "write `lease: {\(key): …}`")
        default: nil
        }
    }

    private func readAddresses(_ cluster: Section, _ settings: inout ClusterSettings) {
        if let listen = cluster.text("listen", maxBytes: 300).flatMap({ address($0, cluster, mayBeAny: true) }) {
            settings.listen = listen
        }
        settings.advertise = cluster.text("advertise", maxBytes: 300).flatMap { address($0, cluster, mayBeAny: false) }
        guard let texts = cluster.texts("coordinators", limit: Self.maxCoordinators, maxBytes: 300) else { return }
        if texts.isEmpty, cluster.isEmptyList("coordinators") {
            cluster.missing(
                "coordinators", "no address; workers would find no leader", hint: "add at least one, or remove the key")
        }
        var addresses: [NetworkAddress] = []
        for text in texts {
            guard let address = address(text, cluster, mayBeAny: false) else { continue }
            if addresses.contains(address) {
                cluster.problems.add(
                    text.position, text.keyPath, "\(shown(text.value)) is in the list already", hint: "keep one of them"
                )
            }
            addresses.append(address)
        }
        if !addresses.isEmpty { settings.coordinators = addresses }
    }

    private func address(_ text: Located<String>, _ cluster: Section, mayBeAny: Bool) -> NetworkAddress? {
        do throws(AddressMistake) {
            let address = try NetworkAddress(text.value)
            guard mayBeAny || !address.isUnspecified else {
                throw AddressMistake(
                    message: "\(shown(text.value)) stands for every address of a machine, and nobody can connect to it",
                    hint: "give the name or the address by which this coordinator is reached")
            }
            return address
        } catch {
            cluster.problems.add(text.position, text.keyPath, error.message, hint: error.hint)
            return nil
        }
    }

    private func readLease(_ cluster: Section, _ settings: inout ClusterSettings) {
        guard let lease = cluster.section("lease") else { return }
        lease.refuseUnknownKeys(Self.leaseKeys)
        let bounds: ClosedRange<UInt64> = 50...600_000
        let duration = lease.duration("duration", in: bounds)
        let deadline = lease.duration("renewDeadline", in: bounds)
        let retry = lease.duration("retryPeriod", in: bounds)
        if let duration { settings.leaseDuration = duration.value }
        if let deadline { settings.renewDeadline = deadline.value }
        if let retry { settings.retryPeriod = retry.value }
        let order = "expected duration > renewDeadline > 1.2 x retryPeriod, as 15s, 10s and 2s"
        if settings.leaseDuration <= settings.renewDeadline, let at = duration ?? deadline {
            lease.problems.add(
                at.position, at.keyPath,
                "duration is \(text(settings.leaseDuration, duration)), not more than renewDeadline, which is"
                    + " \(text(settings.renewDeadline, deadline)): two leaders could act at once", hint: order)
        }
        let (numerator, denominator) = Self.retryFactor
        if settings.renewDeadline * denominator <= settings.retryPeriod * numerator, let at = deadline ?? retry {
            lease.problems.add(
                at.position, at.keyPath,
                "renewDeadline is \(text(settings.renewDeadline, deadline)), not more than 1.2 times retryPeriod, which"
                    + " is \(text(settings.retryPeriod, retry)): one late renewal would depose the leader", hint: order)
        }
    }

    private func text(_ value: UInt64, _ given: Located<UInt64>?) -> String {
        Quantity.shownMilliseconds(value) + (given == nil ? " (the default)" : "")
    }

    private func readEndpoint(_ cluster: Section, _ settings: inout ClusterSettings) {
        guard let endpoint = cluster.section("endpoint") else { return }
        endpoint.refuseUnknownKeys(Self.endpointKeys)
        if let host = endpoint.text("host", maxBytes: 253) {
            do throws(AddressMistake) {
                // A port would be taken for the one of members.
                guard !host.value.contains(":") || host.value.hasPrefix("[") && host.value.hasSuffix("]") else {
                    throw AddressMistake(
                        message: "\(shown(host.value)) is not a host alone",
                        hint: "give ports as `metrics` and `health`, and an IPv6 address in brackets: `[::1]`")
                }
                settings.endpointHost = try NetworkAddress(host.value).host
            } catch {
                endpoint.problems.add(host.position, host.keyPath, error.message, hint: error.hint)
            }
        }
        let metrics = endpoint.whole("metrics", in: 1...65_535)
        let health = endpoint.whole("health", in: 1...65_535)
        if let metrics { settings.metricsPort = metrics.value }
        if let health { settings.healthPort = health.value }
        if settings.metricsPort == settings.healthPort, let at = health ?? metrics {
            endpoint.problems.add(
                at.position, at.keyPath, "metrics and health have the same port, \(settings.healthPort)",
                hint: "give each a port of its own")
        }
    }

    private func readCertificates(_ cluster: Section, _ settings: inout ClusterSettings) {
        guard let path = cluster.text("peerCertificates", maxBytes: Self.maxPathBytes) else { return }
        guard path.value.hasPrefix("/") else {
            cluster.problems.add(
                path.position, path.keyPath, "\(shown(path.value)) is not an absolute directory",
                hint: "give the directory with `ca.crt`, `tls.crt` and `tls.key`, from the root")
            return
        }
        settings.peerCertificates = path.value
    }
}
