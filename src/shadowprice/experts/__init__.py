"""MoE experts: which GPU holds which expert (placement), and how a batch's tokens are split over replicas."""
