#!/usr/bin/env bash
# The failover as scripts do it: one thing after another, with `aws` and `kubectl`, looking again every 30 seconds as the stock waiters do.
# It is here to be measured beside `wf run workflows/failover.ron` on the same simulated world:
#
#     export WF_STATE_DIR=$(mktemp -d)
#     wf sim serve --port 4566 --speed 1 --kubeconfig $WF_STATE_DIR/kubeconfig &
#     tests/sequential/failover.sh http://127.0.0.1:4566 $WF_STATE_DIR/kubeconfig
#
# At a speed of 1 virtual seconds are real ones, so that what `aws` takes to start counts for what it is. It does what the plan does in
# the standby region, in the order of the guide's scripts; it fences nothing, records nothing and undoes nothing.
set -euo pipefail

endpoint=$1 kubeconfig=$2
west=us-west-2 replica=prod-db-replica-west group=prod-app-dr-asg cluster=production-dr
pause=30

export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_PAGER="" AWS_MAX_ATTEMPTS=5
began=$SECONDS
aws() { command aws --endpoint-url "$endpoint" --region "$west" --output text "$@"; }
kube() { kubectl --kubeconfig "$kubeconfig" --context "arn:aws:eks:$west:123456789012:cluster/$cluster" -n production "$@"; }
say() { printf '%3dm %02ds  %s\n' $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60)) "$*"; }
# Looks every $pause seconds whether a command prints what is wanted.
until_says() {
    local wanted=$1
    shift
    until [ "$("$@")" = "$wanted" ]; do sleep "$pause"; done
}

say "promote $replica"
aws rds promote-read-replica --db-instance-identifier "$replica" >/dev/null
sleep "$pause" # it still says `available` for a moment
until_says available aws rds describe-db-instances --db-instance-identifier "$replica" --query 'DBInstances[0].DBInstanceStatus'
database=$(aws rds describe-db-instances --db-instance-identifier "$replica" --query 'DBInstances[0].Endpoint.Address')

say "scale $group"
aws autoscaling update-auto-scaling-group --auto-scaling-group-name "$group" --min-size 3 --desired-capacity 6
target_group=$(aws elbv2 describe-target-groups --names prod-app-dr-tg --query 'TargetGroups[0].TargetGroupArn')
healthy() {
    aws elbv2 describe-target-health --target-group-arn "$target_group" \
        --query 'length(TargetHealthDescriptions[?TargetHealth.State==`healthy`])'
}
until [ "$(healthy)" -ge 3 ]; do sleep "$pause"; done

say "scale the nodes of $cluster"
update=$(aws eks update-nodegroup-config --cluster-name "$cluster" --nodegroup-name general \
    --scaling-config minSize=3,maxSize=20,desiredSize=6 --query 'update.id')
until_says Successful aws eks describe-update --name "$cluster" --nodegroup-name general --update-id "$update" --query 'update.status'
kube wait --for=condition=Ready nodes --all --timeout=600s >/dev/null

backup=$(kube -n velero get backups.velero.io -o json |
    python3 -c 'import json, sys
done = [b for b in json.load(sys.stdin)["items"] if b.get("status", {}).get("phase") == "Completed"]
print(max(done, key=lambda b: b["status"]["startTimestamp"])["metadata"]["name"])')
say "restore $backup"
kube -n velero create -f - >/dev/null <<RESTORE
{"apiVersion": "velero.io/v1", "kind": "Restore", "metadata": {"name": "sequential", "namespace": "velero"},
 "spec": {"backupName": "$backup", "includedNamespaces": ["production"]}}
RESTORE
until_says Completed kube -n velero get restores.velero.io sequential -o 'jsonpath={.status.phase}'

say "tell the application its database"
kube patch secret db-credentials --type merge -p "{\"data\": {\"host\": \"$(printf %s "$database" | base64 -w0)\"}}" >/dev/null
kube rollout restart deployment/web-app >/dev/null
kube rollout status deployment/web-app --timeout=300s >/dev/null
ingress() { kube get ingress web-app-ingress -o 'jsonpath={.status.loadBalancer.ingress[0].hostname}'; }
until [ -n "$(ingress)" ]; do sleep "$pause"; done

say "move the records"
balancer=$(aws elbv2 describe-load-balancers --names prod-app-dr-alb --query 'LoadBalancers[0].DNSName')
zone=$(aws route53 list-hosted-zones --query 'HostedZones[?Name==`company.com.` && Config.PrivateZone==`false`].Id' | cut -d/ -f3)
record() {
    printf '{"Action": "UPSERT", "ResourceRecordSet": {"Name": "%s", "Type": "A", "SetIdentifier": "primary", "Failover": "PRIMARY",
        "AliasTarget": {"DNSName": "%s", "HostedZoneId": "Z1H1FL5HABSF5", "EvaluateTargetHealth": true}}}' "$1" "$2"
}
change=$(aws route53 change-resource-record-sets --hosted-zone-id "$zone" --query 'ChangeInfo.Id' --change-batch \
    "{\"Changes\": [$(record app.company.com "$balancer"), $(record shop.company.com "$(ingress)")]}")
until_says INSYNC aws route53 get-change --id "$change" --query 'ChangeInfo.Status'

topic="arn:aws:sns:$west:123456789012:production-dr-alerts"
aws sns publish --topic-arn "$topic" --subject "Failover completed" --message "$database" >/dev/null
say "done"
