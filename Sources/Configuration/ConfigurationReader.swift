import ExportCore
import Model

/// Reads the whole file below its top level.
struct ConfigurationReader {
    let root: Section

    /// Every target has a queue and connections of its own, so their number is bounded.
    private static let maxTargets = 64

    func read(file: String) -> Configuration {
        refuseUnknownSections()
        var configuration = Configuration(file: file)
        configuration.tlsRequired = readTLSRequired()
        configuration.limits = readLimits()
        readGlobal(&configuration)
        readAudit(&configuration)
        configuration.cluster = ClusterReader(root: root).read()
        configuration.gate.pace(
            lease: configuration.cluster.leaseDuration, retryPeriod: configuration.cluster.retryPeriod,
            workerLease: configuration.cluster.workerLease)
        let context = TargetContext(
            tlsRequired: configuration.tlsRequired, limits: configuration.limits, fips: configuration.fips,
            clusterName: configuration.clusterName, impactLevel: configuration.impactLevel,
            retentionDays: configuration.retentionDays)
        (configuration.targets, configuration.origins) = readTargets(context)
        return configuration
    }

    private func refuseUnknownSections() {
        let known = ["global", "audit", "tls", "export", "limits", "cluster"]
        let own = root.keys.filter { $0.hasPrefix("x-") }
        root.refuseUnknownKeys(known + own) { key in
            guard Suggestion.nearest(to: key, among: known) == nil else { return nil }
            if key == "<<" { return ("merge keys are not supported", "write the keys themselves") }
            if key == "targets" { return ("unknown key", "did you mean `targets` below `export`?") }
            let list = known.map { "`\($0)`" }.joined(separator: ", ")
            return ("unknown key", "known keys here: \(list); a section of your own starts with `x-`")
        }
    }

    private func readGlobal(_ configuration: inout Configuration) {
        if let global = root.section("global") {
            global.refuseUnknownKeys(["impactLevel", "fips", "clusterName"])
            if let level = global.choice("impactLevel", as: ImpactLevel.self) {
                configuration.impactLevel = level.value
            }
            if let fips = global.flag("fips") { configuration.fips = fips }
            if let name = global.text("clusterName", maxBytes: 253) { configuration.clusterName = name.value }
        }
        configuration.gate = ExportGateSettings(impactLevel: configuration.impactLevel)
        configuration.retentionDays = configuration.impactLevel == .low ? 180 : 365
    }

    static let auditKeys = ["failClosedOnExportFailure", "resumeOn", "failureThreshold", "ageLimit", "retentionDays"]

    private func readAudit(_ configuration: inout Configuration) {
        guard let audit = root.section("audit") else { return }
        audit.refuseUnknownKeys(Self.auditKeys)
        if let closed = audit.flag("failClosedOnExportFailure") { configuration.gate.failClosed = closed }
        if let resume = audit.choice("resumeOn", as: ResumeOn.self) { configuration.gate.resumeOn = resume.value }
        if let failures = audit.whole("failureThreshold", in: 1...1_000, unit: " failed attempts") {
            configuration.gate.failureThreshold = UInt64(failures.value)
        }
        if let age = audit.duration("ageLimit", in: 10_000...604_800_000) {
            configuration.gate.ageLimit = age.value
            configuration.gate.recoveryAge = age.value / 15
        }
        if let days = audit.whole("retentionDays", in: 1...36_500, unit: " days") {
            configuration.retentionDays = days.value
        }
    }

    private func readTLSRequired() -> Bool {
        guard let tls = root.section("tls") else { return true }
        tls.refuseUnknownKeys(["required"])
        return tls.flag("required") ?? true
    }

    private func readLimits() -> Limits {
        var limits = Limits()
        guard let section = root.section("limits") else { return limits }
        section.refuseUnknownKeys(["maxRecordBytes", "maxQueuedBytesPerTarget"])
        let record = section.size("maxRecordBytes", in: (4 << 10)...Limits.mostRecordBytes)
        let queued = section.size("maxQueuedBytesPerTarget", in: (1 << 20)...(1 << 30))
        if let record {
            limits.maxRecordBytes = record.value
            // A dead letter that was not kept whole could never be tried again.
            limits.maxDeadLetterBytes = max(limits.maxDeadLetterBytes, record.value)
        }
        if let queued { limits.maxQueuedBytesPerTarget = queued.value }
        if limits.maxRecordBytes > limits.maxQueuedBytesPerTarget, let at = record ?? queued {
            let size = Quantity.shownBytes(limits.maxRecordBytes)
            let limit = Quantity.shownBytes(limits.maxQueuedBytesPerTarget)
            section.problems.add(
                at.position, at.keyPath,
                "maxRecordBytes is \(size), more than maxQueuedBytesPerTarget, which is \(limit)",
                hint: "a queue must hold at least one record")
        }
        return limits
    }

    private func readTargets(_ context: TargetContext) -> ([Target], [TargetOrigin]) {
        let export = root.section("export")
        export?.refuseUnknownKeys(["targets"])
        guard let export, export.field("targets") != nil else {
            if root.field("export") == nil || export != nil {
                (export ?? root).problems.add(
                    export?.position(of: "targets") ?? root.position(of: "export"), "export.targets",
                    "no targets; records would go nowhere", hint: ConfigurationText.emptyHint)
            }
            return ([], [])
        }
        guard let entries = export.sections("targets", limit: Self.maxTargets) else { return ([], []) }
        if entries.isEmpty, export.isEmptyList("targets") {
            export.missing("targets", "no targets; records would go nowhere", hint: "add at least one entry")
        }
        var registry = TargetRegistry()
        for (index, section) in entries {
            let reader = TargetReader(section: section, index: index, context: context)
            guard let target = reader.read() else { continue }
            registry.add(target, section)
        }
        return (registry.targets, registry.origins)
    }
}

/// Targets that are read already, and what no other may have as well.
private struct TargetRegistry {
    var targets: [Target] = []
    var origins: [TargetOrigin] = []
    private var lines: [String: Int] = [:]
    private var directories: [String: String] = [:]

    mutating func add(_ target: Target, _ section: Section) {
        if let line = lines[target.name] {
            section.problems.add(
                section.position(of: "name"), section.path("name"),
                "the name \(shown(target.name)) is taken by the target in line \(line)",
                hint: "give each target a name of its own")
        }
        lines[target.name] = lines[target.name] ?? section.position.line
        if target.backend == .file {
            if let other = directories[target.endpoint.path] {
                section.problems.add(
                    section.position(of: "endpoint"), section.path("endpoint"),
                    "the target \(shown(other)) writes into the same directory",
                    hint: "give each a directory of its own")
            }
            directories[target.endpoint.path] = target.name
        }
        targets.append(target)
        origins.append(TargetOrigin(keyPath: section.keyPath, position: section.position(of: "secretRef")))
    }
}
