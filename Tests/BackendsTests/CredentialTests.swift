import ExportCore
import HTTPClient
import Model
import Synchronization
import Testing

@testable import Backends

/// Which credentials are used, and when they are fetched.
@Suite struct CredentialTests {
    private static func environment(_ variables: [String: String]) -> AWSEnvironment {
        AWSEnvironment { variables[$0] }
    }

    private static let irsa = ["AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/t"]
    private static let agent = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"]

    private func choose(
        _ variables: [String: String], secretRef: String? = nil, mode: S3CredentialMode = .auto, fips: Bool = false,
        region: String = "us-gov-west-1"
    ) -> Result<CredentialSource, CredentialSource.Missing> {
        var target = target(.s3)
        target.secretRef = secretRef
        target.s3.credentials = mode
        target.s3.region = region
        target.s3.fips = fips
        do throws(CredentialSource.Missing) {
            return .success(try CredentialSource.choose(target, Self.environment(variables)))
        } catch {
            return .failure(error)
        }
    }

    private func name(_ choice: Result<CredentialSource, CredentialSource.Missing>) -> String {
        switch choice {
        case .success(.secret(let ref)): "secret \(ref)"
        case .success(.irsa(let request)): "irsa \(request.endpoint)"
        case .success(.podIdentity(let url, let file)): "pod \(url) \(file ?? "-")"
        case .success(.imds(let base)): "imds \(base)"
        case .failure(let missing): "missing: \(missing.message)"
        }
    }

    @Test func inOrder() {
        let both = Self.irsa.merging(Self.agent) { first, _ in first }
        #expect(name(choose(both, secretRef: "aws")) == "secret aws")
        #expect(name(choose(both)) == "irsa https://sts.us-gov-west-1.amazonaws.com/")
        #expect(name(choose(Self.agent)) == "pod http://169.254.170.23/v1/credentials -")
        #expect(name(choose(both, secretRef: "ca-only", mode: .irsa)).hasPrefix("irsa"))
        #expect(name(choose(both, secretRef: "ca-only", mode: .podIdentity)).hasPrefix("pod"))
        #expect(name(choose(both, mode: .imds)) == "imds http://169.254.169.254")
    }

    /// What is configured and does not work is an error, whatever else there would be.
    @Test func nothingFallsThrough() {
        let half = ["AWS_ROLE_ARN": "arn:aws:iam::1:role/r"].merging(Self.agent) { first, _ in first }
        #expect(name(choose(half)).contains("AWS_ROLE_ARN is set without AWS_WEB_IDENTITY_TOKEN_FILE"))
        let other = ["AWS_WEB_IDENTITY_TOKEN_FILE": "/t"]
        #expect(name(choose(other)).contains("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN"))
        #expect(name(choose(Self.irsa, mode: .secret)).contains("it has no secretRef"))
        #expect(name(choose(Self.agent, mode: .irsa)).contains("AWS_ROLE_ARN is not set"))
        #expect(name(choose(Self.irsa, mode: .podIdentity)).contains("AWS_CONTAINER_CREDENTIALS_FULL_URI is not set"))
        let keys = ["AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "p"]
        let none = name(choose(keys))
        #expect(none.contains("name a secret") && none.contains("IRSA") && none.contains("`credentials: imds`"))
        #expect(name(choose(["AWS_ROLE_ARN": "", "AWS_WEB_IDENTITY_TOKEN_FILE": ""])) == none)
    }

    @Test func stsEndpoints() {
        #expect(name(choose(Self.irsa, region: "eu-west-1")) == "irsa https://sts.eu-west-1.amazonaws.com/")
        #expect(name(choose(Self.irsa, region: "cn-north-1")) == "irsa https://sts.cn-north-1.amazonaws.com.cn/")
        #expect(name(choose(Self.irsa, fips: true)) == "irsa https://sts.us-gov-west-1.amazonaws.com/")
        let east = name(choose(Self.irsa, fips: true, region: "us-east-2"))
        #expect(east == "irsa https://sts-fips.us-east-2.amazonaws.com/")
        #expect(name(choose(Self.irsa, fips: true, region: "ca-central-1")).contains("AWS_ENDPOINT_URL_STS"))
        let given = Self.irsa.merging(["AWS_ENDPOINT_URL_STS": "https://vpce-1.sts.us-east-1.vpce.amazonaws.com"]) {
            $1
        }
        #expect(name(choose(given)) == "irsa https://vpce-1.sts.us-east-1.vpce.amazonaws.com/")
        let plain = Self.irsa.merging(["AWS_ENDPOINT_URL_STS": "http://sts.example.com"]) { $1 }
        #expect(name(choose(plain)).contains("must be an https address"))
    }

    @Test(arguments: [
        ("https://sts.us-east-1.amazonaws.com", false), ("https://STS.us-east-1.amazonaws.com.:443/", false),
        ("https://sts.amazonaws.com/", false), ("https://vpce-1.sts.us-east-1.vpce.amazonaws.com", false),
        ("https://sts-fips.us-east-1.amazonaws.com", true), ("https://sts.us-gov-east-1.amazonaws.com", true),
        ("https://vpce-1.sts-fips.us-east-1.vpce.amazonaws.com", true), ("https://sts.agency.gov:8443/x", true),
    ])
    func stsWithFIPS(url: String, isTaken: Bool) {
        let given = Self.irsa.merging(["AWS_ENDPOINT_URL_STS": url]) { $1 }
        #expect(name(choose(given, fips: true)).hasPrefix("irsa ") == isTaken)
        #expect(name(choose(given)).hasPrefix("irsa "))
    }

    @Test(arguments: [
        ("http://169.254.170.2/x", true), ("http://169.254.170.23:80/v1/credentials", true),
        ("http://[fd00:ec2::23]/v1", true),
        ("http://127.0.0.1:8080/", true), ("http://127.9.9.9", true), ("http://localhost/", true),
        ("http://[::1]:80/", true),
        ("https://anywhere.example.com/", true), ("http://169.254.170.3/", false), ("http://example.com/", false),
        ("http://127.0.0.1.example.com/", false), ("http://127.0.0.1@evil/", false),
        ("http://evil\\@127.0.0.1/", false),
        ("http://[::1]evil/", false), ("http://[fd00:ec2::23", false), ("ftp://127.0.0.1/", false), ("", false),
        ("http://169.254.170.23.evil/", false), ("http://127.0.0.1 evil/", false), ("HTTP://127.0.0.1/", false),
    ])
    func whereATokenMayTravelInClear(url: String, isAllowed: Bool) {
        #expect(PlainHTTP.isAllowed(url, to: ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]) == isAllowed)
        guard case .success = choose(["AWS_CONTAINER_CREDENTIALS_FULL_URI": url], mode: .podIdentity) else {
            #expect(!isAllowed)
            return
        }
        #expect(isAllowed)
    }

    @Test func theForm() {
        let request = STSRequest(
            endpoint: "e", roleARN: "arn:aws:iam::1:role/a b", tokenFile: "/t", sessionName: "s&x=1")
        #expect(
            request.form(token: Secret("e30.e30+/="))
                == "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b"
                + "&RoleSessionName=s%26x%3D1&WebIdentityToken=e30.e30%2B%2F%3D")
    }
}

/// What sources answer.
@Suite struct CredentialAnswerTests {
    private static let date = ("Date", "Sun, 15 Mar 2026 10:00:00 GMT")

    private static func sts(expiration: String = "2026-03-15T11:00:00Z", key: String = "secret") -> String {
        """
        <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <AssumeRoleWithWebIdentityResult>
            <Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>\(key)</SecretAccessKey>
            <SessionToken>to/ken+=</SessionToken><Expiration>\(expiration)</Expiration></Credentials>
            <SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken>
          </AssumeRoleWithWebIdentityResult>
        </AssumeRoleWithWebIdentityResponse>
        """
    }

    private func verdict(_ reading: CredentialAnswer.Reading) -> Verdict? {
        guard case .failure(let refusal) = reading else { return nil }
        return refusal.verdict
    }

    /// Their end is measured on the server's clock, so that ours may be wrong.
    @Test func stsGivesCredentials() throws {
        for now in [Int64(0), 1_773_570_000_000, 4_000_000_000_000] {
            let fetched = try CredentialAnswer.sts(answer(200, Self.sts(), headers: [Self.date]), now: now, at: "p")
                .get()
            #expect(fetched.lifetimeMilliseconds == 3_600_000)
            #expect(fetched.credentials.accessKeyID == Secret("ASIA1"))
            #expect(fetched.credentials.secretAccessKey == Secret("secret"))
            #expect(fetched.credentials.sessionToken == Secret("to/ken+="))
        }
        let ours = try CredentialAnswer.sts(answer(200, Self.sts()), now: 1_773_568_800_000, at: "p").get()
        #expect(ours.lifetimeMilliseconds == 3_600_000)
    }

    @Test(arguments: ["2026-03-15T10:00:00Z", "2026-03-15T09:59:59Z", "soon", ""])
    func uselessCredentialsAreNotUsed(expiration: String) {
        let response = answer(200, Self.sts(expiration: expiration), headers: [Self.date])
        #expect(verdict(CredentialAnswer.sts(response, now: 0, at: "p")).map(kind) == "retry")
    }

    @Test func damagedAnswersGiveNone() {
        for body in ["", "{}", Self.sts(key: ""), String(Self.sts().dropLast(5)), "<a>\(Self.sts())</a>"] {
            #expect(verdict(CredentialAnswer.sts(answer(200, body), now: 0, at: "p")).map(kind) == "retry")
        }
        for body in ["", "[]", #"{"AccessKeyId":"a"}"#, #"{"AccessKeyId":1,"SecretAccessKey":"b","Token":"c"}"#] {
            #expect(verdict(CredentialAnswer.json(answer(200, body), now: 0, at: "p")).map(kind) == "retry")
        }
    }

    @Test(arguments: [
        (400, "ExpiredTokenException", "configuration"), (403, "AccessDenied", "configuration"),
        (400, "InvalidIdentityToken", "configuration"), (400, "IDPCommunicationError", "retry"),
        (400, "Throttling", "retry"), (500, "InternalFailure", "retry"), (503, "", "retry"), (429, "", "retry"),
    ])
    func stsRefuses(status: Int, code: String, expected: String) throws {
        let body =
            "<ErrorResponse><Error><Type>Sender</Type><Code>\(code)</Code><Message>why</Message></Error></ErrorResponse>"
        let found = try #require(verdict(CredentialAnswer.sts(answer(status, body), now: 0, at: "sts")))
        #expect(kind(found) == expected)
        let reason = try #require(refusal(found))
        #expect(reason.message == "sts gave no credentials: \(status) \(code): why")
    }

    @Test func agentsAnswerJSON() throws {
        let token = String(repeating: "t", count: 5_000)
        let body =
            #"{"AccessKeyId":"ASIA2","SecretAccessKey":"s","Token":"\#(token)","AccountId":"1","#
            + #""Expiration":"2026-03-15T16:00:00Z"}"#
        let fetched = try CredentialAnswer.json(answer(200, body, headers: [Self.date]), now: 0, at: "p").get()
        #expect(fetched.credentials.sessionToken == Secret(token))
        #expect(fetched.lifetimeMilliseconds == 6 * 3_600_000)
        let refused = CredentialAnswer.json(answer(404, #"{"code":"NotFound","message":"x"}"#), now: 0, at: "p")
        #expect(verdict(refused).map(kind) == "configuration")
        #expect(verdict(CredentialAnswer.json(answer(500), now: 0, at: "p")).map(kind) == "retry")
    }
}

/// When credentials are renewed.
@Suite struct CredentialRefreshTests {
    private static func at(_ seconds: UInt64) -> Tick { Tick(nanoseconds: (1_000 + seconds) * 1_000_000_000) }

    @Test(arguments: 1...20) func fifteenMinutesBeforeTheEnd(seed: UInt64) {
        var rng = PRNG(seed: seed)
        var refresh = CredentialRefresh()
        #expect(refresh.handle(.wanted, now: Self.at(0), rng: &rng) == [.fetch, .wait])
        #expect(refresh.handle(.wanted, now: Self.at(1), rng: &rng) == [.wait])
        #expect(refresh.handle(.fetched(lifetimeMilliseconds: 3_600_000), now: Self.at(2), rng: &rng) == [])
        // A minute of chance, earlier only.
        #expect(refresh.handle(.wanted, now: Self.at(2 + 2_639), rng: &rng) == [.use])
        #expect(refresh.handle(.wanted, now: Self.at(2 + 2_701), rng: &rng) == [.fetch, .use])
        #expect(refresh.handle(.wanted, now: Self.at(2 + 2_702), rng: &rng) == [.use])
        #expect(refresh.handle(.fetched(lifetimeMilliseconds: 3_600_000), now: Self.at(2_710), rng: &rng) == [])
        #expect(refresh.handle(.wanted, now: Self.at(2_711), rng: &rng) == [.use])
    }

    @Test func chanceSpreadsAFleet() {
        var moments: Set<UInt64> = []
        for seed in 0..<50 as Range<UInt64> {
            var rng = PRNG(seed: seed)
            var refresh = CredentialRefresh()
            _ = refresh.handle(.wanted, now: Self.at(0), rng: &rng)
            _ = refresh.handle(.fetched(lifetimeMilliseconds: 3_600_000), now: Self.at(0), rng: &rng)
            let due = (2_600...2_702 as ClosedRange<UInt64>).first { second in
                var copy = refresh
                return copy.handle(.wanted, now: Self.at(second), rng: &rng).contains(.fetch)
            }
            if let due { moments.insert(due) }
        }
        #expect(moments.count > 20)
        #expect(moments.allSatisfy { 2_640...2_700 ~= $0 })
    }

    @Test func shortLivedOnesHalfWay() {
        var rng = PRNG(seed: 1)
        var refresh = CredentialRefresh()
        _ = refresh.handle(.wanted, now: Self.at(0), rng: &rng)
        _ = refresh.handle(.fetched(lifetimeMilliseconds: 100_000), now: Self.at(0), rng: &rng)
        #expect(refresh.handle(.wanted, now: Self.at(39), rng: &rng) == [.use])
        #expect(refresh.handle(.wanted, now: Self.at(51), rng: &rng) == [.fetch, .use])
        #expect(refresh.handle(.wanted, now: Self.at(89), rng: &rng) == [.use])
        // Not begun with in its last seconds.
        #expect(refresh.handle(.wanted, now: Self.at(91), rng: &rng) == [.wait])
    }

    @Test func aFailureCostsAWarningWhileTheyAreValid() {
        var rng = PRNG(seed: 1)
        var refresh = CredentialRefresh()
        _ = refresh.handle(.wanted, now: Self.at(0), rng: &rng)
        #expect(refresh.handle(.failed, now: Self.at(1), rng: &rng) == [])
        #expect(refresh.handle(.wanted, now: Self.at(2), rng: &rng) == [.fetch, .wait])
        _ = refresh.handle(.fetched(lifetimeMilliseconds: 3_600_000), now: Self.at(2), rng: &rng)
        #expect(refresh.handle(.wanted, now: Self.at(2_800), rng: &rng) == [.fetch, .use])
        #expect(refresh.handle(.failed, now: Self.at(2_801), rng: &rng) == [.warn])
        #expect(refresh.handle(.wanted, now: Self.at(2_830), rng: &rng) == [.use])
        #expect(refresh.handle(.wanted, now: Self.at(2_862), rng: &rng) == [.fetch, .use])
        #expect(refresh.handle(.failed, now: Self.at(2_863), rng: &rng) == [.warn])
        #expect(refresh.handle(.wanted, now: Self.at(3_600), rng: &rng) == [.fetch, .wait])
        #expect(refresh.handle(.failed, now: Self.at(3_601), rng: &rng) == [])
    }

    @Test func rejectedOnesAreNotUsedAgain() {
        var rng = PRNG(seed: 1)
        var refresh = CredentialRefresh()
        _ = refresh.handle(.wanted, now: Self.at(0), rng: &rng)
        _ = refresh.handle(.fetched(lifetimeMilliseconds: 3_600_000), now: Self.at(0), rng: &rng)
        #expect(refresh.handle(.rejected, now: Self.at(1), rng: &rng) == [])
        #expect(refresh.handle(.wanted, now: Self.at(1), rng: &rng) == [.fetch, .wait])
    }

    /// One fetch serves all who ask meanwhile; a warning tells of a failed renewal; a rejected set is replaced.
    @Test func oneFetchForAll() async throws {
        let clock = Mutex(Self.at(0))
        let fetches = Mutex(0)
        let warnings = Mutex<[Reason]>([])
        let credentials = S3Credentials(
            seed: 1, now: { clock.withLock { $0 } }, warn: { reason in warnings.withLock { $0.append(reason) } }
        ) { () async throws(Refusal) in
            let number = fetches.withLock { count in
                count += 1
                return count
            }
            try? await Task.sleep(for: .milliseconds(30))
            if number == 2 {
                throw Refusal(verdict: .retry(Reason(code: "aws-Down", message: "down"), retryAfterMilliseconds: nil))
            }
            let made = AWSCredentials(
                accessKeyID: Secret("A\(number)"), secretAccessKey: Secret("s"), sessionToken: Secret("t"))
            return FetchedCredentials(credentials: made, lifetimeMilliseconds: 3_600_000)
        }
        let ids = try await withThrowingTaskGroup(of: AWSCredentials.self) { group in
            for _ in 0..<20 { group.addTask { try await credentials.current() } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1.accessKeyID.reveal()) }
        }
        #expect(ids == ["A1"])
        #expect(fetches.withLock { $0 } == 1)
        clock.withLock { $0 = Self.at(2_800) }
        #expect(try await credentials.current().accessKeyID == Secret("A1"))
        while warnings.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(5)) }
        #expect(warnings.withLock { $0.first?.message } == "still using the old credentials: down")
        await credentials.reject(try await credentials.current())
        #expect(try await credentials.current().accessKeyID == Secret("A3"))
        #expect(fetches.withLock { $0 } == 3)
    }
}
