import ExportCore
import HTTPClient
import Testing

@testable import Backends

/// Every answer of S3 in the wire's table, and what is made of it.
@Suite struct S3VerdictTests {
    private static let place = "archive (https://s3.us-gov-west-1.amazonaws.com:443, bucket audit)"
    private static let kms = [("x-amz-server-side-encryption", "aws:kms")]

    private static func error(_ code: String, _ message: String = "said so", more: String = "") -> String {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>\(message)</Message>\(more)"
            + "<RequestId>4442587FB7D0A2F9</RequestId></Error>"
    }

    private func put(_ response: HTTPResponse) -> S3Answer {
        S3Verdict.ofPut(response, checksum: "c2hh", at: Self.place)
    }

    private func kindOf(_ status: Int, _ code: String) -> String {
        switch put(answer(status, code.isEmpty ? "" : Self.error(code))) {
        case .done: "delivered"
        case .occupied: "verify"
        case .skewed(_, let verdict): "clock, else \(kind(verdict))"
        case .unauthorized(let haveEnded, let verdict):
            "\(haveEnded ? "new credentials" : "rotated credentials"), else \(kind(verdict))"
        case .refused(let verdict): kind(verdict)
        }
    }

    @Test(arguments: [
        (503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable"), (502, ""), (504, ""), (500, ""),
        (503, ""), (429, ""), (429, "TooManyRequests"), (400, "RequestTimeout"), (408, ""), (400, "Throttling"),
        (400, "ThrottlingException"), (400, "KMS.ThrottlingException"), (503, "KMS.ThrottlingException"),
        (400, "RequestLimitExceeded"), (409, "ConditionalRequestConflict"), (409, "OperationAborted"), (409, ""),
        (400, "IncompleteBody"), (400, "BadDigest"), (400, "XAmzContentSHA256Mismatch"), (425, ""), (507, ""),
    ])
    func passesByItself(status: Int, code: String) { #expect(kindOf(status, code) == "retry") }

    @Test(arguments: [
        (404, "NoSuchBucket"), (400, "InvalidRequest"), (400, "InvalidArgument"), (400, "KMS.DisabledException"),
        (400, "KMS.NotFoundException"), (400, "InvalidBucketName"), (400, "KeyTooLongError"), (400, ""), (404, ""),
        (405, "MethodNotAllowed"), (501, "NotImplemented"), (501, ""), (409, "InvalidBucketState"),
        (301, "PermanentRedirect"), (307, "TemporaryRedirect"), (302, ""), (308, ""),
    ])
    func somebodyHasToMendIt(status: Int, code: String) { #expect(kindOf(status, code) == "configuration") }

    @Test(arguments: [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (403, ""), (401, ""), (403, "Other")])
    func rotatedCredentialsMayDo(status: Int, code: String) {
        #expect(kindOf(status, code) == "rotated credentials, else configuration")
    }

    @Test func otherAnswers() {
        #expect(kindOf(412, "PreconditionFailed") == "verify")
        #expect(kindOf(412, "") == "verify")
        #expect(kindOf(413, "") == "too large")
        #expect(kindOf(400, "EntityTooLarge") == "too large")
        #expect(kindOf(400, "ExpiredToken") == "new credentials, else retry")
        #expect(kindOf(400, "TokenRefreshRequired") == "new credentials, else retry")
        #expect(kindOf(403, "InvalidAccessKeyId") == "new credentials, else configuration")
        #expect(kindOf(400, "InvalidToken") == "new credentials, else configuration")
        #expect(kindOf(204, "") == "unknown")
        #expect(kindOf(206, "") == "unknown")
    }

    @Test func retryAfterIsAFloor() {
        let response = answer(503, Self.error("SlowDown"), headers: [("Retry-After", "7")])
        guard case .refused(.retry(let reason, let wait)) = put(response) else {
            Issue.record("no retry")
            return
        }
        #expect(wait == 7_000)
        #expect(reason.code == "s3-SlowDown")
        #expect(reason.message == "\(Self.place) answered 503 SlowDown: said so")
    }

    @Test func successMustSayHowItWasStored() {
        #expect(put(answer(200, headers: Self.kms)) == .done)
        #expect(put(answer(200, headers: Self.kms + [("x-amz-checksum-sha256", "c2hh")])) == .done)
        #expect(put(answer(200, headers: [("x-amz-server-side-encryption", "aws:kms:dsse")])) == .done)
        for headers in [[], [("x-amz-server-side-encryption", "AES256")]] {
            #expect(kind(put(answer(200, headers: headers)).verdict) == "configuration")
        }
        let other = put(answer(200, headers: Self.kms + [("x-amz-checksum-sha256", "b3RoZXI=")]))
        #expect(kind(other.verdict) == "unknown")
        #expect(kind(put(answer(200, Self.error("InternalError"), headers: Self.kms)).verdict) == "unknown")
    }

    /// `Date` is what our clock is measured against; without it nothing is guessed.
    @Test func skewedClock() {
        let headers = [("Date", "Thu, 01 Jan 1970 01:00:00 GMT")]
        let body = Self.error("RequestTimeTooSkewed")
        guard case .skewed(let server, let verdict) = put(answer(403, body, headers: headers)) else {
            Issue.record("not skewed")
            return
        }
        #expect(server == 3_600)
        #expect(refusal(verdict)?.message.contains("NTP") == true)
        #expect(kind(put(answer(403, body)).verdict) == "configuration")
        guard case .refused = put(answer(403, body, headers: [("Date", "yesterday")])) else {
            Issue.record("a date that is none was used")
            return
        }
    }

    @Test func theRightRegionIsNamed() throws {
        let region = "<Region>us-gov-east-1</Region>"
        let answers = [
            answer(301, Self.error("PermanentRedirect", more: region)),
            answer(301, headers: [("x-amz-bucket-region", "us-gov-east-1")]),
            answer(400, Self.error("AuthorizationHeaderMalformed", more: region)),
            answer(400, headers: [("x-amz-bucket-region", "us-gov-east-1")]),
        ]
        for response in answers {
            let verdict = put(response).verdict
            #expect(kind(verdict) == "configuration")
            #expect(try #require(refusal(verdict)).message.contains("`us-gov-east-1`"))
        }
        let hostile = answer(301, headers: [("x-amz-bucket-region", "\u{1B}[2Jevil"), ("Location", "https://evil/")])
        let message = try #require(refusal(put(hostile).verdict)).message
        #expect(!message.contains("evil") && message.contains("never followed"))
    }

    @Test func adviceIsGiven() throws {
        for (status, code, word) in [
            (404, "NoSuchBucket", "make the bucket"), (403, "AccessDenied", "s3:PutObjectRetention"),
            (400, "KMS.DisabledException", "kmsKeyId"), (403, "", "kms:GenerateDataKey"),
            (403, "SignatureDoesNotMatch", "belong together"),
        ] {
            let verdict = put(answer(status, code.isEmpty ? "" : Self.error(code))).verdict
            #expect(try #require(refusal(verdict)).message.contains(word))
        }
    }

    private static let until = "x-amz-object-lock-retain-until-date"
    private static let compliance = kms + [("x-amz-object-lock-mode", "COMPLIANCE")]
    private static let locked = compliance + [(until, "2027-03-01T00:00:00Z")]

    private func occupant(_ response: HTTPResponse, key: String? = nil) -> S3Verdict.Occupant {
        // 2027-03-01T00:00:00Z.
        let expected = S3Verdict.Expected(
            checksum: "c2hh", count: 10, maxBytes: 100, lockedUntil: 1_803_859_200, kmsKeyID: key)
        return S3Verdict.occupant(response, expected, at: Self.place)
    }

    /// The same bytes under a lock that is short, over or unknown are not what was promised.
    @Test func aShortLockIsNotOurs() {
        let same = ("x-amz-checksum-sha256", "c2hh")
        for end in ["2027-03-01T00:00:00Z", "2027-03-01T00:00:00.000Z", "2030-01-05T10:00:00Z"] {
            #expect(occupant(answer(200, headers: Self.compliance + [same, (Self.until, end)])) == .ours)
        }
        for (end, word) in [
            ("2027-02-28T23:59:59Z", "ends on 2027-02-28"), ("2020-01-05T00:00:00.000Z", "ends on 2020-01-05"),
            ("soon", "cannot be read"), ("", "cannot be read"),
        ] {
            for headers in [[same, (Self.until, end)], [(Self.until, end)]] {
                guard case .foreign(let why) = occupant(answer(200, headers: Self.compliance + headers)) else {
                    Issue.record("\(end) counts")
                    continue
                }
                #expect(why.contains(word))
            }
        }
        guard case .foreign = occupant(answer(200, headers: Self.compliance + [same])) else {
            Issue.record("no end of the lock counts")
            return
        }
    }

    @Test(arguments: [
        ("arn:aws:kms:us-east-1:1:key/1a-2b", "arn:aws:kms:us-east-1:1:key/1a-2b", true),
        ("arn:aws:kms:us-east-1:1:key/1a-2b", "arn:aws:kms:us-east-1:1:key/1a-3c", false),
        ("arn:aws:kms:us-east-1:1:key/1a-2b", "1a-2b", true), ("1a-2b", "arn:aws:kms:us-east-1:1:key/1a-2b", true),
        ("2b", "arn:aws:kms:us-east-1:1:key/1a-2b", false), ("1a-2b", "1a-3c", false), ("own", "arn:aws:kms:own", true),
        ("alias/audit", "arn:aws:kms:us-east-1:1:key/1a-2b", true),
        ("arn:aws:kms:us-east-1:1:alias/audit", "arn:aws:kms:us-east-1:1:key/1a-2b", true),
    ])
    func anotherKeyIsNotOurs(wanted: String, found: String, isOurs: Bool) {
        let headers = [
            ("x-amz-checksum-sha256", "c2hh"), ("x-amz-server-side-encryption-aws-kms-key-id", found),
        ]
        #expect((occupant(answer(200, headers: Self.locked + headers), key: wanted) == .ours) == isOurs)
        #expect(occupant(answer(200, headers: Self.locked + headers)) == .ours)
    }

    @Test func whatHasTheKey() {
        let same = ("x-amz-checksum-sha256", "c2hh")
        #expect(occupant(answer(200, headers: Self.locked + [same])) == .ours)
        #expect(occupant(answer(200, headers: Self.locked + [same, ("Content-Length", "10")])) == .ours)
        #expect(occupant(answer(200, headers: Self.locked + [same, ("Content-Length", "11")])) == .perhapsOurs)
        #expect(occupant(answer(200, headers: Self.locked)) == .perhapsOurs)
        let other = ("x-amz-checksum-sha256", "b3RoZXI=")
        #expect(occupant(answer(200, headers: Self.locked + [other, ("Content-Length", "100")])) == .perhapsOurs)
        for headers in [
            Self.locked + [other, ("Content-Length", "101")], Self.kms + [same], [same],
            Self.kms + [same, ("x-amz-object-lock-mode", "GOVERNANCE")],
        ] {
            guard case .foreign = occupant(answer(200, headers: headers)) else {
                Issue.record("\(headers)")
                continue
            }
        }
        for (status, expected) in [(404, "retry"), (403, "configuration"), (503, "retry"), (400, "configuration")] {
            guard case .unclear(let verdict) = occupant(answer(status)) else {
                Issue.record("\(status)")
                continue
            }
            #expect(kind(verdict) == expected)
        }
    }

    @Test func theBucketIsChecked() {
        func finding(_ check: S3BucketCheck, _ response: HTTPResponse) -> String {
            switch check.finding(response, bucket: "audit", at: Self.place) {
            case .passed: "passed"
            case .begun(let upload): "begun \(upload)"
            case .refused(let verdict): "\(kind(verdict)) \(refusal(verdict)?.code ?? "")"
            }
        }
        func lock(_ state: String) -> String {
            "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>\(state)"
                + "</ObjectLockEnabled></ObjectLockConfiguration>"
        }
        let none = Self.error("ObjectLockConfigurationNotFoundError")
        #expect(finding(.objectLock, answer(200, lock("Enabled"))) == "passed")
        #expect(finding(.objectLock, answer(200, lock("Disabled"))) == "configuration s3-no-object-lock")
        #expect(finding(.objectLock, answer(200, "")) == "configuration s3-no-object-lock")
        #expect(finding(.objectLock, answer(404, none)) == "configuration s3-no-object-lock")
        #expect(finding(.objectLock, answer(404, Self.error("NoSuchBucket"))) == "configuration s3-NoSuchBucket")
        #expect(finding(.objectLock, answer(503, Self.error("SlowDown"))) == "retry s3-SlowDown")
        func versioning(_ state: String) -> String {
            "<VersioningConfiguration>\(state)</VersioningConfiguration>"
        }
        #expect(finding(.versioning, answer(200, versioning("<Status>Enabled</Status>"))) == "passed")
        for state in ["", "<Status>Suspended</Status>", "<Other><Status>Enabled</Status></Other>"] {
            #expect(finding(.versioning, answer(200, versioning(state))) == "configuration s3-no-versioning")
        }
        let begun = "<InitiateMultipartUploadResult><UploadId>abc</UploadId></InitiateMultipartUploadResult>"
        #expect(finding(.rehearsal, answer(200, begun)) == "begun abc")
        #expect(finding(.rehearsal, answer(501)) == "passed")
        #expect(finding(.rehearsal, answer(200)) == "unknown unreadable")
        let kms = finding(.rehearsal, answer(400, Self.error("KMS.DisabledException")))
        #expect(kms == "configuration s3-KMS.DisabledException")
    }

    /// Without the permission nothing is sent: what cannot be looked at is not proved.
    @Test func theMissingPermissionIsNamed() throws {
        for (check, permission) in [
            (S3BucketCheck.objectLock, "allow s3:GetBucketObjectLockConfiguration,"),
            (.versioning, "allow s3:GetBucketVersioning,"),
        ] {
            for body in [Self.error("AccessDenied"), ""] {
                let finding = check.finding(answer(403, body), bucket: "audit", at: Self.place)
                guard case .refused(let verdict) = finding else {
                    Issue.record("passed")
                    continue
                }
                #expect(kind(verdict) == "configuration")
                #expect(try #require(refusal(verdict)).message.contains(permission))
            }
            let wrong = check.finding(
                answer(403, Self.error("SignatureDoesNotMatch")), bucket: "audit", at: Self.place)
            guard case .refused(let verdict) = wrong else { continue }
            #expect(refusal(verdict)?.code == "s3-SignatureDoesNotMatch")
        }
    }
}
