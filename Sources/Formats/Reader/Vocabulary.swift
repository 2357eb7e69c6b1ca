/// A closed set of words a field may hold; raw values count from zero without gaps.
protocol Word: CaseIterable, RawRepresentable<UInt8>, Sendable {
    /// The value as the resource spells it.
    var text: StaticString { get }
}

/// `spec.result.outcome`: what a probe saw.
public enum Outcome: UInt8, Word, Sendable, CaseIterable {
    case pass, fail, detected, undetected, blocked, rejected, accepted, notApplicable, backendUnreachable
    case notEnforced, indeterminate, tamperedResult

    /// The value as the resource spells it.
    public var text: StaticString {
        switch self {
        case .pass: "Pass"
        case .fail: "Fail"
        case .detected: "Detected"
        case .undetected: "Undetected"
        case .blocked: "Blocked"
        case .rejected: "Rejected"
        case .accepted: "Accepted"
        case .notApplicable: "NotApplicable"
        case .backendUnreachable: "BackendUnreachable"
        case .notEnforced: "NotEnforced"
        case .indeterminate: "Indeterminate"
        case .tamperedResult: "TamperedResult"
        }
    }
}

/// `spec.result.controlEffectiveness`: what that says about the control.
public enum Effectiveness: UInt8, Word, Sendable, CaseIterable {
    case effective, ineffective, degraded, compromised

    /// The value as the resource spells it.
    public var text: StaticString {
        switch self {
        case .effective: "Effective"
        case .ineffective: "Ineffective"
        case .degraded: "Degraded"
        case .compromised: "Compromised"
        }
    }
}

/// `spec.result.integrityStatus`: whether the result's own signature held.
public enum Integrity: UInt8, Word, Sendable, CaseIterable {
    case verified, tamperedResult

    /// The value as the resource spells it.
    public var text: StaticString {
        switch self {
        case .verified: "Verified"
        case .tamperedResult: "TamperedResult"
        }
    }
}

/// `spec.audit.exportStatus`: how far the export of the result has come. Never exported itself.
public enum ExportStatus: UInt8, Word, Sendable, CaseIterable {
    case pending, exported, failed

    /// The value as the resource spells it.
    public var text: StaticString {
        switch self {
        case .pending: "Pending"
        case .exported: "Exported"
        case .failed: "Failed"
        }
    }
}

/// The fields of a `SiderealProbeResult` that have a meaning to the exporter; all others pass through.
public enum Field: Int, Sendable, CaseIterable {
    case apiVersion, kind, metadata, spec
    case name, namespace, uid, creationTimestamp, labels, annotations
    case probe, result, execution, audit
    case probeID, profile, targetNamespace, aoAuthorizationRef
    case outcome, controlEffectiveness, integrityStatus, nistControls, controlMappings, crosswalkVersion
    case mitreAttackID, detail, verificationMode
    case timestamp, durationMs, jobName
    case exportStatus

    /// How many there are.
    static let count = exportStatus.rawValue + 1

    /// Where the field lies in the resource.
    public var path: String {
        switch self {
        case .apiVersion: "apiVersion"
        case .kind: "kind"
        case .metadata: "metadata"
        case .spec: "spec"
        case .name: "metadata.name"
        case .namespace: "metadata.namespace"
        case .uid: "metadata.uid"
        case .creationTimestamp: "metadata.creationTimestamp"
        case .labels: "metadata.labels"
        case .annotations: "metadata.annotations"
        case .probe: "spec.probe"
        case .result: "spec.result"
        case .execution: "spec.execution"
        case .audit: "spec.audit"
        case .probeID: "spec.probe.id"
        case .profile: "spec.probe.profile"
        case .targetNamespace: "spec.probe.targetNamespace"
        case .aoAuthorizationRef: "spec.probe.aoAuthorizationRef"
        case .outcome: "spec.result.outcome"
        case .controlEffectiveness: "spec.result.controlEffectiveness"
        case .integrityStatus: "spec.result.integrityStatus"
        case .nistControls: "spec.result.nistControls"
        case .controlMappings: "spec.result.controlMappings"
        case .crosswalkVersion: "spec.result.crosswalkVersion"
        case .mitreAttackID: "spec.result.mitreAttackId"
        case .detail: "spec.result.detail"
        case .verificationMode: "spec.result.verificationMode"
        case .timestamp: "spec.execution.timestamp"
        case .durationMs: "spec.execution.durationMs"
        case .jobName: "spec.execution.jobName"
        case .exportStatus: "spec.audit.exportStatus"
        }
    }
}
