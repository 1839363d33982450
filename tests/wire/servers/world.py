"""The world of the guide, with the names of `workflows/failover.ron`, made and looked at through boto3: an independent client."""

import json
import time

import boto3
from botocore.config import Config

EAST, WEST = "us-east-1", "us-west-2"
ONCE = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=90)


class World:
    """One server's view of the two regions. CloudWatch is always ministack's: the AWS SDK for Rust speaks CBOR to it, and moto does not."""

    def __init__(self, endpoint, cloudwatch):
        self.endpoint, self.cloudwatch, self.clients = endpoint, cloudwatch, {}

    def client(self, service, region):
        if (service, region) not in self.clients:
            endpoint = self.cloudwatch if service == "cloudwatch" else self.endpoint
            self.clients[service, region] = boto3.client(
                service, region_name=region, endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", config=ONCE
            )
        return self.clients[service, region]

    # -- making it

    def seed(self, cross_region, shop):
        """Makes both regions. Without `cross_region` replicas are in the region of their source. `shop` is the load balancer of the cluster."""
        east = self.region(EAST, "prod-app", "production-primary", (3, 6), (3, 6))
        west = self.region(WEST, "prod-app-dr", "production-dr", (0, 0), (0, 0))
        self.databases(cross_region)
        bucket = {"Bucket": "production-dr-switch", "CreateBucketConfiguration": {"LocationConstraint": WEST}}
        self.client("s3", WEST).create_bucket(**bucket)
        self.copied_bucket()
        lease = json.dumps({"holder": EAST, "ttl_seconds": 1})
        self.client("s3", WEST).put_object(Bucket="production-dr-switch", Key="lease/tried", Body=lease)
        # Health checkers ask as anybody does.
        everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::production-dr-switch/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
        self.client("s3", WEST).put_bucket_policy(Bucket="production-dr-switch", Policy=policy)
        self.dns(east, west, shop)
        names = ["prod-db-primary", "prod-db-replica-west"]
        self.lag({EAST: names, WEST: names}, 1.5)
        return {EAST: east, WEST: west, "peering": self.peering()}

    def peering(self):
        """Joins a VPC of each region with one of the other, and leads routes both ways."""
        sides = {EAST: "10.0.0.0/16", WEST: "10.1.0.0/16"}
        vpcs = {region: self.client("ec2", region).create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"] for region, cidr in sides.items()}
        asked = self.client("ec2", EAST).create_vpc_peering_connection(VpcId=vpcs[EAST], PeerVpcId=vpcs[WEST], PeerRegion=WEST)
        peering = asked["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        self.client("ec2", WEST).accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
        for region, other in ((EAST, WEST), (WEST, EAST)):
            ec2 = self.client("ec2", region)
            tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpcs[region]]}])["RouteTables"]
            ec2.create_route(RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock=sides[other], VpcPeeringConnectionId=peering)
        return peering

    def copied_bucket(self):
        """Makes a bucket in the east that is copied to one in the west."""
        source, copy = "production-app-data-primary", "production-app-data-dr"
        self.client("s3", EAST).create_bucket(Bucket=source)
        self.client("s3", WEST).create_bucket(Bucket=copy, CreateBucketConfiguration={"LocationConstraint": WEST})
        for region, bucket in [(EAST, source), (WEST, copy)]:
            self.client("s3", region).put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        rule = {
            "ID": "replicate-to-dr", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": f"arn:aws:s3:::{copy}"},
        }
        rules = {"Role": "arn:aws:iam::123456789012:role/s3-replication", "Rules": [rule]}
        self.client("s3", EAST).put_bucket_replication(Bucket=source, ReplicationConfiguration=rules)

    def region(self, region, app, cluster, group, nodes):
        ec2, elb = self.client("ec2", region), self.client("elbv2", region)
        subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        if not subnets:
            subnets = ec2.describe_subnets()["Subnets"]
        zones, vpc = [subnet["SubnetId"] for subnet in subnets[:2]], subnets[0]["VpcId"]
        balancer = elb.create_load_balancer(Name=f"{app}-alb", Subnets=zones)["LoadBalancers"][0]
        target = elb.create_target_group(Name=f"{app}-tg", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]["TargetGroupArn"]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": target}]
        )
        template = {"ImageId": "ami-0abcdef1234567890", "InstanceType": "m5.large"}
        ec2.create_launch_template(LaunchTemplateName=app, LaunchTemplateData=template)
        self.client("autoscaling", region).create_auto_scaling_group(
            AutoScalingGroupName=f"{app}-asg", LaunchTemplate={"LaunchTemplateName": app, "Version": "$Latest"}, MinSize=group[0], MaxSize=10,
            DesiredCapacity=group[1], TargetGroupARNs=[target], VPCZoneIdentifier=",".join(zones),
        )
        self.register(region, f"{app}-asg", target)
        eks, role = self.client("eks", region), "arn:aws:iam::123456789012:role/eks"
        eks.create_cluster(name=cluster, roleArn=role, resourcesVpcConfig={"subnetIds": zones})
        eks.create_nodegroup(
            clusterName=cluster, nodegroupName="general", subnets=zones, nodeRole=role,
            scalingConfig={"minSize": nodes[0], "maxSize": 20, "desiredSize": nodes[1]},
        )
        self.topic(region)
        return {"alb_dns_name": balancer["DNSName"], "alb_zone_id": balancer["CanonicalHostedZoneId"], "target_group": target}

    def register(self, region, group, target):
        """Registers the instances of a group as targets. AWS and moto do it when they launch them, ministack does not."""
        elb = self.client("elbv2", region)
        found = self.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]
        instances = [{"Id": instance["InstanceId"]} for instance in found["Instances"]]
        if instances and not elb.describe_target_health(TargetGroupArn=target)["TargetHealthDescriptions"]:
            elb.register_targets(TargetGroupArn=target, Targets=instances)

    def topic(self, region):
        sns, sqs = self.client("sns", region), self.client("sqs", region)
        topic = sns.create_topic(Name="production-dr-alerts")["TopicArn"]
        queue = sqs.create_queue(QueueName="alerts")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def databases(self, cross_region):
        primary = self.client("rds", EAST).create_db_instance(
            DBInstanceIdentifier="prod-db-primary", DBInstanceClass="db.r6g.xlarge", Engine="postgres", EngineVersion="15.4", AllocatedStorage=500,
            MasterUsername="dbadmin", MasterUserPassword="not-a-secret", BackupRetentionPeriod=30, MultiAZ=True, DBName="production",
        )["DBInstance"]
        source, region = (primary["DBInstanceArn"], WEST) if cross_region else ("prod-db-primary", EAST)
        self.client("rds", region).create_db_instance_read_replica(
            DBInstanceIdentifier="prod-db-replica-west", SourceDBInstanceIdentifier=source, DBInstanceClass="db.r6g.xlarge"
        )
        # RDS gives a replica no backups; the servers copy the retention of the source.
        self.client("rds", region).modify_db_instance(DBInstanceIdentifier="prod-db-replica-west", BackupRetentionPeriod=0, ApplyImmediately=True)

    def dns(self, east, west, shop):
        route53 = self.client("route53", EAST)
        vpc = self.client("ec2", EAST).describe_vpcs()["Vpcs"][0]["VpcId"]
        route53.create_hosted_zone(Name="company.co", CallerReference="decoy")
        route53.create_hosted_zone(
            Name="company.com", CallerReference="private", VPC={"VPCRegion": EAST, "VPCId": vpc},
            HostedZoneConfig={"PrivateZone": True, "Comment": ""},
        )
        zone = route53.create_hosted_zone(Name="company.com", CallerReference="public")["HostedZone"]["Id"]

        def check(name, **config):
            return route53.create_health_check(CallerReference=name, HealthCheckConfig=config)["HealthCheck"]["Id"]

        endpoint = {"Type": "HTTPS", "Port": 443}
        application = check("application", **endpoint, FullyQualifiedDomainName=east["alb_dns_name"], ResourcePath="/health")
        switch = check(
            "switch", **endpoint, FullyQualifiedDomainName=f"production-dr-switch.s3.{WEST}.amazonaws.com",
            ResourcePath="/failover/app.company.com", Inverted=True,
        )
        serves = check("serves", Type="CALCULATED", ChildHealthChecks=[application, switch], HealthThreshold=2)

        def record(identifier, failover, side, **more):
            alias = {"DNSName": side["alb_dns_name"], "HostedZoneId": side["alb_zone_id"], "EvaluateTargetHealth": True}
            name = {"Name": "app.company.com", "Type": "A", "SetIdentifier": identifier, "Failover": failover}
            return {"Action": "UPSERT", "ResourceRecordSet": {**name, "AliasTarget": alias, **more}}

        def weighted(identifier, side, weight):
            alias = {"DNSName": side["alb_dns_name"], "HostedZoneId": side["alb_zone_id"], "EvaluateTargetHealth": True}
            name = {"Name": "api.company.com", "Type": "A", "SetIdentifier": identifier, "Weight": weight}
            return {"Action": "UPSERT", "ResourceRecordSet": {**name, "AliasTarget": alias}}

        changes = [record("primary", "PRIMARY", east, HealthCheckId=serves), record("secondary", "SECONDARY", west)]
        changes += [weighted("east", east, 100), weighted("west", west, 0)]
        if shop:
            cluster = {"alb_dns_name": shop, "alb_zone_id": east["alb_zone_id"]}
            changes.append(record("primary", "PRIMARY", cluster))
            changes[-1]["ResourceRecordSet"]["Name"] = "shop.company.com"
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})

    def lag(self, instances, seconds):
        """Tells CloudWatch the replica lag of each minute from now on, for an hour: what is in the future does not show before its time."""
        now = int(time.time())
        for region, names in instances.items():
            for name in names:
                dimensions = [{"Name": "DBInstanceIdentifier", "Value": name}]
                samples = [
                    {"MetricName": "ReplicaLag", "Dimensions": dimensions, "Timestamp": at, "Value": seconds, "Unit": "Seconds"}
                    for at in range(now - 180, now + 3600, 60)
                ]
                for first in range(0, len(samples), 20):
                    self.client("cloudwatch", region).put_metric_data(Namespace="AWS/RDS", MetricData=samples[first : first + 20])

    # -- looking at it

    def warm(self):
        """Asks each service for something, so that whatever has to be loaded is."""
        for service, operation in [
            ("autoscaling", "describe_auto_scaling_groups"), ("cloudwatch", "list_metrics"), ("eks", "list_clusters"),
            ("elbv2", "describe_load_balancers"), ("rds", "describe_db_instances"), ("route53", "list_hosted_zones"),
            ("sns", "list_topics"), ("sts", "get_caller_identity"),
        ]:
            getattr(self.client(service, WEST), operation)()

    def look(self):
        """What a step can change, in both regions, as boto3 sees it."""
        return {EAST: self.look_at(EAST), WEST: self.look_at(WEST), "records": self.records(), "objects": self.objects(), "lease": self.lease()}

    def lease(self):
        held = self.client("s3", WEST).get_object(Bucket="production-dr-switch", Key="lease/tried")
        lease = json.loads(held["Body"].read())
        # Which run gave it away differs.
        return {name: lease[name] for name in ("holder", "ttl_seconds")}

    def objects(self):
        found = self.client("s3", WEST).list_objects_v2(Bucket="production-dr-switch")
        return [held["Key"] for held in found.get("Contents", [])]

    def look_at(self, region):
        groups = self.client("autoscaling", region).describe_auto_scaling_groups()["AutoScalingGroups"]
        return {
            "databases": {database["DBInstanceIdentifier"]: database_of(database) for database in self.instances(region)},
            "snapshots": self.snapshots(region),
            "groups": {
                group["AutoScalingGroupName"]: {
                    "min": group["MinSize"], "desired": group["DesiredCapacity"], "max": group["MaxSize"], "instances": len(group["Instances"])
                }
                for group in groups
            },
            "nodegroups": self.nodegroups(region),
            "messages": self.messages(region),
        }

    def instances(self, region):
        found = self.client("rds", region).describe_db_instances()["DBInstances"]
        if self.endpoint == self.cloudwatch:
            # A source in ministack goes on naming a replica that was deleted, and names one twice that was made anew.
            names = [instance["DBInstanceIdentifier"] for instance in found]
            for instance in found:
                replicas = instance["ReadReplicaDBInstanceIdentifiers"]
                instance["ReadReplicaDBInstanceIdentifiers"] = [name for name in dict.fromkeys(replicas) if name in names]
        return found

    def snapshots(self, region):
        found = self.client("rds", region).describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
        return [snapshot["DBSnapshotIdentifier"] for snapshot in found]

    def nodegroups(self, region):
        eks, found = self.client("eks", region), {}
        for cluster in eks.list_clusters()["clusters"]:
            group = eks.describe_nodegroup(clusterName=cluster, nodegroupName="general")["nodegroup"]["scalingConfig"]
            found[cluster] = {"min": group["minSize"], "desired": group["desiredSize"], "max": group["maxSize"]}
        return found

    def messages(self, region):
        """How many messages the subscriber of the topic has."""
        sqs = self.client("sqs", region)
        queue, count = sqs.get_queue_url(QueueName="alerts")["QueueUrl"], "ApproximateNumberOfMessages"
        return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[count])["Attributes"][count])

    def subjects(self, region):
        """The subjects of those messages, which are taken out of the queue."""
        sqs, subjects = self.client("sqs", region), []
        queue = sqs.get_queue_url(QueueName="alerts")["QueueUrl"]
        while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            subjects += [json.loads(message["Body"]).get("Subject") for message in found]
            for message in found:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return sorted(subjects)

    def records(self):
        route53 = self.client("route53", EAST)
        zones = route53.list_hosted_zones_by_name(DNSName="company.com")["HostedZones"]
        zone = next(zone["Id"] for zone in zones if zone["Name"] == "company.com." and not zone["Config"]["PrivateZone"])
        records = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        named = [record for record in records if record["Name"].startswith(("api.", "app.", "shop.", "new.", "one."))]
        for record in named:
            if "AliasTarget" in record:
                record["AliasTarget"]["DNSName"] = record["AliasTarget"]["DNSName"].rstrip(".")
        return {f"{record['Name']} {record['Type']} {record.get('SetIdentifier', '')}".strip(): record for record in named}

    def serving(self, site):
        """The region that users are served from: where DNS leads, if a database there takes writes; else why they are not."""
        target = self.records()[f"{site}.company.com. A primary"]["AliasTarget"]["DNSName"]
        for region in (EAST, WEST):
            balancers = self.client("elbv2", region).describe_load_balancers()["LoadBalancers"]
            # The load balancer of an ingress is not moto's; its region is in its name.
            if any(balancer["DNSName"] == target for balancer in balancers) or site == "shop" and f".{region}." in target:
                writers = [found for found in self.instances(region) if not found.get("ReadReplicaSourceDBInstanceIdentifier")]
                return (200, region) if writers else (503, f"no database in {region} takes writes")
        return (503, f"{target} is no load balancer")


def database_of(found):
    return {
        "arn": found["DBInstanceArn"],
        "class": found["DBInstanceClass"],
        "multi_az": found["MultiAZ"],
        "retention": found["BackupRetentionPeriod"],
        "source": found.get("ReadReplicaSourceDBInstanceIdentifier") or None,
        "replicas": found.get("ReadReplicaDBInstanceIdentifiers", []),
        "status": found["DBInstanceStatus"],
    }
