public import Model

/// Made-up probe results as the Kubernetes API gives them: one whole custom resource per line, 1220 bytes on average.
///
/// The same seed gives the same bytes on every machine. `metadata.uid` and `spec.probe.id` have the shape of a UUID of
/// version 4; the first eight digits of the probe id, and so the resource's name, repeat only after 2^32 records.
/// Execution times only advance, from 2026-01-01T00:00:00Z. About one detail in 40 holds escapes or text beyond ASCII.
public struct ProbeResultGenerator: Sendable {
    private var rng: PRNG
    private var index: UInt32 = 0
    private let nameMask: UInt32
    private var resourceVersion: UInt64
    private var clock = Clock()

    /// A generator of the sequence that belongs to `seed`.
    public init(seed: UInt64) {
        rng = PRNG(seed: seed)
        nameMask = UInt32(truncatingIfNeeded: rng.next())
        resourceVersion = 4_000_000 + rng.below(1_000_000)
    }

    /// Appends the next record and a line feed.
    public mutating func next(into out: inout ByteWriter) { append(at: nil, into: &out) }

    /// Appends the next record, executed at a time of the caller's in nanoseconds since 1970, and a line feed. The rest of
    /// it is what the seed says.
    public mutating func next(at unixNanoseconds: UInt64, into out: inout ByteWriter) {
        append(at: unixNanoseconds, into: &out)
    }

    private mutating func append(at unixNanoseconds: UInt64?, into out: inout ByteWriter) {
        let profile = pickProfile()
        let isTampered = rng.below(1_000) == 0
        let scenario = isTampered ? tampered : pickScenario(profile)
        let namespace = pick(namespaces)
        let identity = Identity(first: Self.scramble(index ^ nameMask), rng: &rng)
        index &+= 1
        resourceVersion += 1 + rng.below(40)
        clock.advance(nanoseconds: 1 + rng.below(900_000_000))
        if let unixNanoseconds { clock = Clock(unixNanoseconds: unixNanoseconds) }
        let duration = 40 + rng.below(900) + (rng.below(20) == 0 ? rng.below(58_000) : 0)

        appendMetadata(profile, scenario, namespace, identity, duration, into: &out)
        appendExecution(profile, identity, duration, into: &out)
        appendProbe(profile, namespace, identity, into: &out)
        appendResult(profile, scenario, namespace, isTampered, into: &out)
    }

    /// A bijection of 32 bits (finalizer of MurmurHash3, Appleby): different records get different names.
    private static func scramble(_ number: UInt32) -> UInt32 {
        var mixed = number
        mixed = (mixed ^ (mixed >> 16)) &* 0x85EB_CA6B
        mixed = (mixed ^ (mixed >> 13)) &* 0xC2B2_AE35
        return mixed ^ (mixed >> 16)
    }

    private mutating func pick<Element>(_ choices: [Element]) -> Element {
        choices[Int(rng.below(UInt64(choices.count)))]
    }

    private mutating func pickProfile() -> Profile {
        var rest = rng.below(100)
        for profile in profiles {
            if rest < profile.weight { return profile }
            rest -= profile.weight
        }
        return profiles[0]
    }

    private mutating func pickScenario(_ profile: Profile) -> Scenario {
        var rest = rng.below(1_000)
        for scenario in profile.scenarios {
            if rest < scenario.weight { return scenario }
            rest -= scenario.weight
        }
        return profile.scenarios[0]
    }

    private mutating func appendMetadata(
        _ profile: Profile, _ scenario: Scenario, _ namespace: StaticString, _ identity: Identity, _ duration: UInt64,
        into out: inout ByteWriter
    ) {
        out.append(
            #"{"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{"creationTimestamp":""#)
        clock.appendSecond(after: duration, into: &out)
        out.append(#"","labels":{"sidereal.cloud/control-effectiveness":""#)
        out.append(scenario.effectiveness)
        out.append(#"","sidereal.cloud/outcome":""#)
        out.append(scenario.outcome)
        out.append(#"","sidereal.cloud/probe-id":""#)
        identity.probe.append(to: &out)
        out.append(#"","sidereal.cloud/probe-name":""#)
        out.append(pick(profile.probes))
        out.append(#"","sidereal.cloud/probe-profile":""#)
        out.append(profile.label)
        out.append(#"","sidereal.cloud/target-namespace":""#)
        out.append(namespace)
        out.append(#""},"name":"sidereal-result-"#)
        identity.probe.appendFirst(to: &out)
        out.append(#"","namespace":"sidereal-system","resourceVersion":""#)
        out.append(decimal: resourceVersion)
        out.append(#"","uid":""#)
        identity.uid.append(to: &out)
        out.append(#""},"#)
    }

    private func appendExecution(
        _ profile: Profile, _ identity: Identity, _ duration: UInt64, into out: inout ByteWriter
    ) {
        out.append(#""spec":{"audit":{"exportStatus":"Pending"},"execution":{"durationMs":"#)
        out.append(decimal: duration)
        out.append(#","jobName":"sidereal-probe-"#)
        out.append(profile.job)
        out.append(UInt8(ascii: "-"))
        identity.probe.appendFirst(to: &out)
        out.append(#"","timestamp":""#)
        clock.append(to: &out)
        out.append(#""},"#)
    }

    private func appendProbe(
        _ profile: Profile, _ namespace: StaticString, _ identity: Identity, into out: inout ByteWriter
    ) {
        out.append(#""probe":{"#)
        if !profile.techniques.isEmpty { out.append(#""aoAuthorizationRef":"ao-authorization-2026-q1","#) }
        out.append(#""id":""#)
        identity.probe.append(to: &out)
        out.append(#"","profile":""#)
        out.append(profile.name)
        out.append(#"","targetNamespace":""#)
        out.append(namespace)
        out.append(#""},"#)
    }

    private mutating func appendResult(
        _ profile: Profile, _ scenario: Scenario, _ namespace: StaticString, _ isTampered: Bool,
        into out: inout ByteWriter
    ) {
        let mapping = pick(profile.mappings)
        let sentence = pick(scenario.sentences)
        out.append(#""result":{"controlEffectiveness":""#)
        out.append(scenario.effectiveness)
        out.append(#"","controlMappings":"#)
        out.append(mapping.frameworks)
        if rng.below(4) > 0 { out.append(#","crosswalkVersion":"2026.1""#) }
        out.append(#","detail":""#)
        out.append(sentence.before)
        out.append(namespace)
        out.append(sentence.after)
        if rng.below(40) == 0 { out.append(pick(unusualEndings)) }
        out.append(#"","integrityStatus":""#)
        out.append(isTampered ? "TamperedResult" : "Verified")
        out.append(#"","#)
        if !profile.techniques.isEmpty {
            out.append(#""mitreAttackId":""#)
            out.append(pick(profile.techniques))
            out.append(#"","#)
        }
        out.append(#""nistControls":"#)
        out.append(mapping.nist)
        out.append(#","outcome":""#)
        out.append(scenario.outcome)
        if rng.below(4) > 0 {
            out.append(#"","verificationMode":""#)
            out.append(pick(profile.modes))
        }
        out.append(#""}}}"#)
        out.append(UInt8(ascii: "\n"))
    }
}
